"""Model to ONNX: one file that turns samples into units wherever onnxruntime runs, without Python or PyTorch."""

import io
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unitdisc import __version__
from unitdisc.checkpoint import load_model
from unitdisc.errors import DataError, UnitdiscError
from unitdisc.files import whole_file
from unitdisc.graph import StreamGraph, UnitGraph
from unitdisc.model import UnitModel

OPSET = 17


class Interface(NamedTuple):
    """What goes into a graph and comes out; each has one dimension, those that are named may have any length."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    example: tuple[Tensor, ...]


def export_onnx(exp: str | Path, out: str | Path, *, stream: bool = False, force: bool = False) -> dict[str, str]:
    """Write OUT, a graph of samples > units, or with stream of (samples, state) > (units, state); return its facts."""
    out = Path(out)
    if out.suffix != ".onnx":
        raise DataError(f"{out}: expected a file NAME.onnx to write to")
    if out.exists() and not force:
        raise DataError(f"{out}: there already; --force replaces it")
    try:
        import onnx
    except ImportError:
        raise UnitdiscError("ONNX needs a package: pip install 'unitdisc[export]'") from None
    model = load_model(exp)
    graph = StreamGraph(model) if stream else UnitGraph(model)
    written = onnx.load_from_string(_traced(graph.eval(), _interface(model, stream)))
    facts = _facts(model)
    onnx.helper.set_model_props(written, facts)
    with whole_file(out, binary=True) as file:
        file.write(written.SerializeToString())
    return facts


def _interface(model: UnitModel, stream: bool) -> Interface:
    grid, stride = model.grid, model.encoder.stride
    # One frame more than whole units, so that the masks of a unit with fewer frames are in the graph.
    count = (100 * stride + 1) * grid.hop + (grid.window - grid.hop if grid.snip_edges else 0)
    samples = torch.rand(count, generator=torch.Generator().manual_seed(0)) - 0.5
    if not stream:
        return Interface({"samples": "samples"}, {"units": "units"}, (samples,))
    begin = (samples[: 10 * stride * grid.hop], torch.tensor([3]), torch.tensor([False]))
    return Interface(
        {"samples": "samples", "state": "kept", "given": "", "last": ""},
        {"units": "units", "next_state": "kept_next", "next_given": ""},
        (samples, *begin),
    )


def _traced(graph: nn.Module, interface: Interface) -> bytes:
    lengths = {name: {0: length} for name, length in (interface.inputs | interface.outputs).items() if length}
    blob: Any = io.BytesIO()  # the types know of paths only
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what does not depend on the length; tests try many
        # The older exporter, which PyTorch deprecates: the newer one (dynamo=True) needs onnxscript as well.
        torch.onnx.export(
            graph, interface.example, blob, input_names=list(interface.inputs), output_names=list(interface.outputs),
            dynamic_axes=lengths, opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    return bytes(blob.getvalue())


def _facts(model: UnitModel) -> dict[str, str]:
    """Return what a user of the file must know, kept in it as metadata."""
    return {
        "unitdisc": __version__,
        "sample_rate": str(model.grid.sample_rate),
        "period": repr(model.unit_grid.period),
        "offset": repr(model.unit_grid.offset),
        "codes": " ".join(map(str, model.quantizer.codes)),
        "codebook": model.codebook_hash(),
        "model": model.model_hash(),
    }
