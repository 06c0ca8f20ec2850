"""Training: one flat loop over steps, with all of its state in checkpoints.

    unitdisc train conf/base.yaml exp/base --train data/train --dev data/dev
    torchrun --nproc-per-node 2 -m unitdisc train conf/base.yaml exp/base --train data/train --dev data/dev

All randomness of a step is a function of (seed, step), so that a resumed run repeats what an uninterrupted one does.
"""

import os
import shutil
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from unitdisc import checkpoint, dist
from unitdisc import config as configs
from unitdisc.corpus import fit_normalisation_, open_corpus, phone_set, with_features
from unitdisc.data.batches import ChunkPlan, Corpus, WholePlan
from unitdisc.data.folder import data_of
from unitdisc.data.kaldi import DataDir
from unitdisc.data.prefetch import Prefetcher
from unitdisc.errors import MOST_FAILED, ConfigError
from unitdisc.features.augment import Versions
from unitdisc.files import locked
from unitdisc.live import LiveFrames
from unitdisc.made import flat
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.postfilter import Postfilter, decoded_pairs, fit_postfilter
from unitdisc.quantizers.base import Reestimation
from unitdisc.quantizers.clustering import sample_size
from unitdisc.runlog import Meter, RunLog
from unitdisc.state import State, precision_of
from unitdisc.step import note_skipped, train_step
from unitdisc.stopping import Stop, stoppable
from unitdisc.straight import check_straight
from unitdisc.taken import take_units_
from unitdisc.targets import Targets, output_sample
from unitdisc.train_config import Config, TrainConfig
from unitdisc.validate import validate
from unitdisc.voices import Voices, fit_voices


def train(config: Config, exp: str | Path, train_dir: str | Path, dev_dir: str | Path) -> None:
    """Train a model, or go on from the newest whole checkpoint of its folder."""
    check_schedule(config)
    check_augment(config)
    if config.train.straight:
        check_straight(config.model)
    device = config.train.device
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    with dist.group(device):
        if device == "cuda":
            device = f"cuda:{dist.local_rank()}"
        lists = Path(exp) / "lists"
        data, dev = data_of(train_dir, lists / "train"), data_of(dev_dir, lists / "dev")
        _train(config, Path(exp), data, dev, torch.device(device))


def _train(config: Config, exp: Path, train_data: DataDir, dev_data: DataDir, device: torch.device) -> None:
    log = RunLog(exp, tensorboard=config.train.tensorboard)
    names = {"train": str(train_data.path), "dev": str(dev_data.path)}
    jobs, straight = (1 if config.train.workers is None else config.train.workers) + 1, config.train.straight
    if not straight:
        train_data = with_features(config.model, train_data, exp / "data" / "train", jobs, log.say)
        dev_data = with_features(config.model, dev_data, exp / "data" / "dev", jobs, log.say)
    speakers, phones = sorted(train_data.spk2utt), phone_set(config.model, train_data)
    torch.manual_seed(config.train.seed)
    model = UnitModel(config.model, speakers, phones).to(device)
    fit_normalisation_(model, train_data, straight)
    if config.train.units_of and not checkpoint.step_files(exp):
        take_units_(model, config.train.units_of)
    state = State(model, config.train)
    corpus = open_corpus(config.model, train_data, state.model, exp / "data" / "train" if straight else None)
    dev = open_corpus(config.model, dev_data, state.model, exp / "data" / "dev" if straight else None)
    with locked(exp, "training in it") if dist.is_main() else nullcontext():
        resume_(state, config, exp, log)
        if config.train.recompute and state.model.decoder is not None:
            state.model.decoder.recompute_()
        if config.train.compile:
            compile_(state.model, device)
        log.started(
            configs.dump(config),
            device=str(device),
            precision=str(precision_of(config.train, device)).removeprefix("torch."),
            seed=config.train.seed,
            parameters=sum(p.numel() for p in state.model.parameters()),
            train={"data": names["train"], "utterances": len(corpus.utts), "speakers": len(speakers)},
            dev={"data": names["dev"], "utterances": len(dev.utts)},
            resumed_at=state.step,
        )
        if corpus.left_out:
            log.say(f"{train_data.path}: {len(corpus.left_out)} utterances left out (too short, or without labels): "
                    f"{' '.join(corpus.left_out[:5])} ...")  # fmt: skip
        if state.step >= config.train.steps:
            log.say(f"{exp}: finished already, after step {state.step}; raise train.steps to go on")
        with stoppable() as stop:
            run_steps(state, config, corpus, dev, exp, log, device, stop)
        log.close()


def forget_versions(folder: Path) -> None:
    """Delete the changed utterances that were kept while training."""
    dist.barrier()
    if dist.is_main():
        shutil.rmtree(folder, ignore_errors=True)


def compile_(model: UnitModel, device: torch.device) -> None:
    """Compile the two networks that take the time, where they stand: checkpoints do not change."""
    if device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        raise ConfigError("train.compile: needs a C++ compiler on a CPU, and there is neither g++ nor clang++")
    model.encoder.compile()
    if model.decoder is not None:
        model.decoder.compile_networks_()


def check_schedule(config: Config) -> None:
    """Refuse a training in which nothing learns, or that ends before its codebook is used.

    What is refused here can still be read: units are made of trainings that older versions took.
    """
    for name in ("chunk", "learning_rate", "warmup", "clip", "skip_above", "seed"):
        if not getattr(config.train, name) >= 0:
            raise ConfigError(f"train.{name} must be 0 or more, got {getattr(config.train, name)}")
    if not config.model.learns:
        raise ConfigError(
            "nothing to train: k-means without a decoder or another loss is fitted by `unitdisc kmeans`, or set one of "
            "weights.prediction, input_reconstruction, ctc and framewise above 0"
        )
    schedule = getattr(config.model.quantizer, "schedule", None)
    if schedule is not None and schedule.warm_up >= config.train.steps:
        raise ConfigError(
            f"the codebook would never be used: train.steps is {config.train.steps}, and the warm-up takes "
            f"{schedule.warm_up}; train longer, or lower model.quantizer.schedule.warm_up (and every, until)"
        )
    if schedule is not None and 0 < schedule.until < schedule.warm_up:
        raise ConfigError(
            f"the codebook would never be set from data: model.quantizer.schedule.until is {schedule.until}, and the "
            f"warm-up takes {schedule.warm_up}; raise until, or set it to 0 if that is meant"
        )
    if not config.train.freezes:
        return
    if not config.train.units_of and schedule is not None and schedule.warm_up > config.train.frozen_at:
        raise ConfigError(
            f"train.freeze: the encoder would be held still from step {config.train.frozen_at}, before the codebook is "
            f"used: model.quantizer.schedule.warm_up is {schedule.warm_up}; set it to 0"
        )
    if not config.model.decoder.speaks and not config.model.weights.on_values:
        raise ConfigError(
            "train.freeze or units_of: with the encoder held still nothing would learn: set decoder.kind, or "
            "weights.input_reconstruction, ctc or framewise above 0, or leave both options as they are"
        )


def check_augment(config: Config) -> None:
    """Refuse to change the tempo of speech for losses that compare each frame with what was there before."""
    if config.train.augment.tempo and (config.model.decoder.speaks or config.model.weights.on_values > 0):
        raise ConfigError(
            "augment.tempo: only a prediction of clusters knows what to do with speech that is faster or slower; "
            "set decoder.kind to none and weights.input_reconstruction, ctc and framewise to 0, or augment.tempo to 0"
        )


def resume_(state: State, config: Config, exp: Path, log: RunLog) -> None:
    """Take up the newest whole checkpoint, if there is one, refusing one of another model."""
    # Read where Adam keeps its counts of steps: on a GPU, each would make the host wait for it.
    tree = checkpoint.newest(exp, "cpu", log.say)
    if tree is None:
        log.rewind(-1)
        return
    difference = _difference(tree, state.model, exp)
    if difference:
        raise ConfigError(
            f"{exp}: holds a training of another model ({difference}); train in another folder, or delete this one"
        )
    state.load_tree(tree)
    log.rewind(state.step)
    log.say(f"{exp}: resumed after step {state.step}")


def _difference(tree: dict[str, Any], model: UnitModel, exp: Path) -> str:
    """Say in what a checkpoint's model is not this one; nothing if it is the same."""
    config = configs.from_tree(ModelConfig, tree["config"]["model"], str(exp))
    theirs, ours = flat(configs.to_tree(config)), flat(configs.to_tree(model.config))
    for key in sorted({*theirs, *ours}):
        if theirs.get(key) != ours.get(key):
            return f"model.{key}: {theirs.get(key)} there, {ours.get(key)} here"
    if tree["speakers"] != list(model.speakers):
        return "other speakers"
    return "other phones" if tree["phones"] != list(model.phones) else ""


def run_steps(
    state: State,
    config: Config,
    corpus: Corpus,
    dev: Corpus,
    exp: Path,
    log: RunLog,
    device: torch.device,
    stop: Stop,
) -> None:
    """Train until the last step, or until asked to stop."""
    options = config.train
    plan = batch_plan(corpus, options, state.model.encoder.stride)
    if options.augment.on:
        features, folder, total = state.model.config.features, exp / "versions", int(corpus.lengths.sum())
        corpus.versions = Versions(features, options.augment, corpus.data, options.seed, folder, corpus.utts, total)
    workers = options.workers if options.workers is not None else usual_workers(corpus, device)
    batches = Prefetcher(corpus, plan, dist.rank(), dist.world_size(), workers=workers, pinned=device.type == "cuda")
    targets = open_targets(state, exp, corpus, dev)
    meter = Meter()
    saved = state.step
    bar = tqdm(total=options.steps, initial=state.step, unit="step", disable=None if dist.is_main() else True)
    stopped = False
    while state.step < options.steps and not (stopped := dist.any_of(stop.asked)):  # all after the same step
        event = None if options.units_of else state.model.begin_step_(state.step)
        if event is not None:
            report_reestimation(state, event, log)
        hold_or_begin_(state, corpus, log)
        batch = batches.batch(state.step)
        if targets is not None:
            batch = current(targets, state, log).label_(batch)
        batch = batch.to(device)
        rate = state.set_rates_()
        train_step(state, batch, meter, log, device)
        state.step += 1
        bar.update()
        if state.step % options.log_every == 0 or state.step == options.steps:
            note_skipped(meter, log)
            values = meter.pop()
            log.metrics(state.step, "train", {**values, "learning_rate": rate})
            warn_of_collapse(state, log)
            warn_of_left_out(state, values.get("ctc_left_out", 0.0), log)
            bar.set_postfix_str(" ".join(f"{k} {values[k]:.4g}" for k in ("loss", "perplexity") if k in values))
        if state.step == options.steps:
            hold_or_begin_(state, corpus, log)
        if state.step % options.validate_every == 0 or state.step == options.steps:
            values = validate_state(state, dev, options.validate_utts, device, targets)
            state.note_dev_loss_(values["loss"])
            log.metrics(state.step, "dev", values)
            log.say(f"step {state.step}: dev " + " ".join(f"{k} {v:.4g}" for k, v in values.items()))
        if state.step % options.save_every == 0 or state.step == options.steps:
            note_skipped(meter, log)
            fitted = (postfilter_of(state, corpus), voices_of(state, corpus)) if state.step == options.steps else ()
            save_state(state, config, exp, *fitted)
            saved = state.step
    bar.close()
    batches.close()
    if state.step >= options.steps and corpus.versions is not None:
        forget_versions(exp / "versions")
    if stopped:
        note_skipped(meter, log)
        if state.step > saved:
            save_state(state, config, exp)
        log.say(f"stopped after step {state.step}, and saved; the same command goes on from there")
        raise KeyboardInterrupt


def usual_workers(corpus: Corpus, device: torch.device) -> int:
    """Return how many processes read batches if nobody has said so."""
    if device.type == "cuda":
        return max(min(4, len(os.sched_getaffinity(0)) // dist.local_world_size() - 1), 1)
    return 1 if corpus.versions is not None or isinstance(corpus.frames, LiveFrames) else 0


def open_targets(state: State, exp: Path, corpus: Corpus, dev: Corpus) -> Targets | None:
    """Return the targets of a training that predicts clusters, None for another."""
    if state.model.prediction is None:
        return None
    options = state.config
    return Targets(exp / "targets", options.targets, options.steps, options.seed, corpus, dev)


def current(targets: Targets, state: State, log: RunLog) -> Targets:
    """Make new targets if the step begins with them, else take up those that there are."""
    if targets.due(state.step, state.targets):
        began = time.perf_counter()
        with averaged(state):
            made = targets.make(state.step, state.model)
        state.after_new_targets_(made)
        log.metrics(state.step, "targets", made._asdict())
        log.say(f"step {state.step}: new targets, in {time.perf_counter() - began:.0f} s")
    assert state.targets is not None
    targets.open_(state.targets)
    return targets


def averaged(state: State) -> AbstractContextManager[None]:
    """Put the averaged weights, if there are any, into the model for the length of a with block."""
    return state.average.swapped(state.model) if state.average else nullcontext()


def hold_or_begin_(state: State, corpus: Corpus, log: RunLog) -> None:
    """Set the codebook when an encoder has learnt without one, from its outputs of the training data."""
    quantizer, seed = state.model.quantizer, state.config.seed
    if not state.quantises:
        quantizer.hold_()
    elif quantizer.held:
        state.settle_()
        vectors = output_sample(state.model, corpus.frames, corpus.utts, sample_size(max(quantizer.codes)), seed)
        quantizer.begin_(vectors, torch.Generator().manual_seed(seed))
        state.after_new_codebook_()
        log.metrics(state.step, "codebook", {"vectors": len(vectors)})
        log.say(f"step {state.step}: codebook set from {len(vectors)} outputs of the encoder")


def batch_plan(corpus: Corpus, options: TrainConfig, stride: int) -> ChunkPlan | WholePlan:
    """Return what says which chunks make up each step's batch."""
    plan: ChunkPlan | WholePlan
    if options.chunk == 0:
        plan = WholePlan(corpus, options.batch, options.seed)
    elif options.chunk % stride:
        raise ConfigError(f"train.chunk: {options.chunk} frames are not a whole number of units of {stride} frames")
    else:
        plan = ChunkPlan(corpus, options.batch, options.chunk, options.seed, align=stride, window=options.window)
    processes, parts = dist.world_size(), options.accumulate
    if processes > 1 and plan.batch < processes * parts:
        raise ConfigError(
            f"train.batch: {plan.batch} (at most one for each utterance) leaves nothing for some of {processes} "
            f"processes x {parts} parts (train.accumulate); raise it, or start fewer processes"
        )
    return plan


def report_reestimation(state: State, event: Reestimation, log: RunLog) -> None:
    """Restart what knew the old codebook, and log the event."""
    state.after_reestimation_()
    log.metrics(state.step, "reestimation", event._asdict())
    log.say(
        f"step {state.step}: codebook re-estimated from {event.vectors} vectors; "
        f"codes in use {event.used_before:.1%} -> {event.used_after:.1%}, "
        f"perplexity {event.perplexity_before:.0f} -> {event.perplexity_after:.0f}"
    )


def warn_of_collapse(state: State, log: RunLog) -> None:
    """Say when the codebook is dying, and what to change; again only after it has recovered."""
    health = state.model.quantizer.health()
    advice = health.advice if health is not None else ""
    if health is not None and advice and not state.warned:
        log.metrics(state.step, "collapse", {"used": health.used, "perplexity": health.perplexity, "advice": advice})
        log.say(f"warning: step {state.step}: {advice}")
    state.warned = bool(advice)


def warn_of_left_out(state: State, share: float, log: RunLog) -> None:
    """Say once that phones do not fit into the units of their utterances."""
    if share > MOST_FAILED and not state.warned_of_phones:
        log.say(
            f"warning: step {state.step}: {share:.1%} of what was read has more phones than units, and CTC leaves it "
            "out; use a smaller stride of the encoder, or look at the alignment"
        )
        state.warned_of_phones = True


def validate_state(
    state: State, dev: Corpus, limit: int, device: torch.device, targets: Targets | None = None
) -> dict[str, float]:
    """Score the dev set with the averaged weights."""
    with averaged(state):
        label_ = targets.dev_label_ if targets is not None else None
        return validate(state.model, dev, limit, device, label_=label_, learner=state.learner(state.step - 1))


def postfilter_of(state: State, corpus: Corpus) -> Postfilter | None:
    """Compare what the averaged model of log-mel frames says with what was said to it."""
    decoder = state.model.decoder
    if not dist.is_main() or decoder is None or not decoder.says_means or corpus.targets is None:
        return None
    with averaged(state):
        pairs = decoded_pairs(state.model, corpus.data, corpus.frames, corpus.targets)
        return fit_postfilter(pairs, len(state.model.speakers), state.model.config.targets.mels)


def voices_of(state: State, corpus: Corpus) -> Voices | None:
    """Measure how high the voices of a model speak, if its decoder leaves the pitch to be chosen."""
    decoder = state.model.decoder
    if not dist.is_main() or decoder is None or not (decoder.needs_pitch or state.model.config.told):
        return None
    return fit_voices(corpus.data, state.model.speakers, state.model.grid)


def save_state(
    state: State, config: Config, exp: Path, postfilter: Postfilter | None = None, voices: Voices | None = None
) -> None:
    """Write a checkpoint and delete old ones."""
    if dist.is_main():
        names = {
            "config": configs.to_tree(config),
            "speakers": list(state.model.speakers),
            "phones": list(state.model.phones),
            "postfilter": postfilter and postfilter.tree(),
            "voices": voices and voices.tree(),
        }
        checkpoint.save(exp / "checkpoints" / f"{state.step:08d}.pt", {**names, **state.tree()})
        checkpoint.prune(exp, config.train.keep)
    dist.barrier()
