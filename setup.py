"""Packaging of unitdisc. The tools' settings (ruff, mypy, pytest) stand in pyproject.toml."""

import re
import sys
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (HERE / "unitdisc" / "__init__.py").read_text("utf-8"), re.M)[1]

REPORT = ["jinja2>=3.1"]
MINI = ["espeakng-loader>=0.2.4"]
IMAGES = ["pillow>=10.1", "matplotlib>=3.8"]  # the recipes of images; matplotlib brings fonts
HUB = ["huggingface-hub>=0.23"]
COMPLETION = ["shtab>=1.7"]
EXPORT = ["onnx>=1.16", "onnxruntime>=1.18"]
SSL = ["transformers>=4.45"]  # fetches weights, and is the oracle of the tests; what is on disk is read without it
# Pinned: another version is another judge. moonshine-voice after 0.0.49 comes without its weights. Resemblyzer names
# webrtcvad, which needs a compiler, in place of webrtcvad-wheels: docs/scores.md says how it is installed without one.
JUDGES = [
    "moonshine-voice==0.0.49",
    "hama==1.7.0",
    "speechmos==0.0.1.1",
    "swift-f0==0.3.0",
    "webrtcvad-wheels>=2.0.14",
    "onnxruntime>=1.18",
]
DOCS = [
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.6,<10",
    "mkdocstrings-python>=1.16",
    "nbclient>=0.10",
    "nbformat>=5.10",
    "ipykernel>=6.29",
]
DEV = [
    "setuptools>=70.1,<81",  # builds wheels by itself, and still has pkg_resources, which some peers ask for
    "pytest>=8",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.5",
    "hypothesis>=6.100",
    "ruff==0.14.*",
    "mypy==1.18.*",
    "types-PyYAML",
    "types-tqdm",
    # Peers and oracles of the tests: none is imported by unitdisc itself.
    # Both are pinned: the stored values of the tests were made with this pair. torchaudio 2.11.1 is of a newer torch,
    # and does not load beside that of 2.11.
    "torch==2.11.0",
    "torchaudio==2.11.0",
    "librosa>=0.10.2",
    "scikit-learn>=1.4",
    "kaldi-native-fbank>=1.20",
    "kaldi-native-io>=1.22",
    "vector-quantize-pytorch==1.32.*",
    "editdistance>=0.8",
    "lhotse>=1.24",
    "pympi-ling>=1.70",
    "praat-parselmouth>=0.4.5",
    "jiwer>=4",
    "pyworld-prebuilt>=0.3",
    "tensorboard>=2.16",
    "matplotlib>=3.8",  # figures of tools/
    "pillow>=10.1",
]

# The recipes are in the wheel for `unitdisc recipe`, without what they have made in this checkout.
sys.path.insert(0, str(HERE))
from unitdisc.recipes import all_files  # noqa: E402  # it needs nothing but Python itself

RECIPES = "unitdisc.egs"
RECIPE_FILES = [str(path) for path in all_files(HERE / "egs")]

setup(
    name="unitdisc",
    version=VERSION,
    description="Unsupervised speech unit discovery: robust VQ-VAE training, units, scores, voice conversion",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="unitdisc developers",
    keywords="speech, zero-resource, vector quantisation, discrete units, voice conversion",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=[*find_packages(include=["unitdisc", "unitdisc.*"]), RECIPES],
    package_dir={RECIPES: "egs"},
    package_data={"unitdisc": ["py.typed"], "unitdisc.report": ["templates/*"], RECIPES: RECIPE_FILES},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "torch>=2.6",  # docs/install.md says with which versions what was run
        "numpy>=1.26",
        "scipy>=1.11",
        "threadpoolctl>=3.1",
        "soundfile>=0.12.1",
        "numba>=0.59",
        "kaldiio>=2.18",
        "textgrid>=1.6",
        "PyYAML>=6.0",
        "safetensors>=0.4",
        "tqdm>=4.66",
    ],
    extras_require={
        "report": REPORT,
        "mini": MINI,
        "images": IMAGES,
        "ssl": SSL,
        "hub": HUB,
        "export": EXPORT,
        "completion": COMPLETION,
        "judges": JUDGES,
        "docs": DOCS,
        "dev": [*REPORT, *MINI, *IMAGES, *EXPORT, *COMPLETION, *DOCS, *DEV],
    },
    entry_points={"console_scripts": ["unitdisc = unitdisc.cli:main"]},
)
