#!/usr/bin/env python3
"""Export networks with PyTorch, compile them for any batch and length, and hold them against ONNX Runtime.

    make exports                                                all of them, and docs/exports.md
    .venv-exports/bin/python models/exports.py bert resnet18    these; the table is printed

The networks are small, and their weights random: what is tried is whether the graphs that the exporters write can be
compiled with every dimension dynamic that is so in practice, and give the same numbers. Exits with 1 where one gives
others.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
import timm
import torch
import transformers
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "exports.md"
SAMARA = Path(os.environ.get("SAMARA_BIN", ROOT / "target" / "release" / "samara"))
PACKAGES = ("torch", "transformers", "timm", "onnxruntime")
# What a result may differ by, for each of its largest number.
TOLERANCE = 1e-4
EXPORTERS = {"dynamo": "PyTorch's exporter", "script": "its older one"}

TEXT = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 192,
    "vocab_size": 500,
    "max_position_embeddings": 130,
}
IMAGE = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 192,
    "image_size": 64,
    "patch_size": 16,
}
SOUND = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 192,
    "conv_dim": (32,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}

ABOUT = """\
# Exports

Networks as PyTorch exports them, with small sizes and random weights, compiled by `samara compile` without any option,
so for every batch and length that the graph leaves open, and run for two sizes. The numbers are the largest difference
to ONNX Runtime, relative to the largest number of the result; both compute in 32 bits. *Refused* is what `samara
compile` does not take with these dimensions open.

Made by `make exports` with {packages}. *Its older one* is `torch.onnx.export(…, dynamo=False)`.

{table}
"""

Arrays = Mapping[str, np.ndarray]


class Of(nn.Module):
    """A model of transformers as a function of tensors."""

    def __init__(self, model: nn.Module, inputs: Iterable[str], output: str, **options: object) -> None:
        """Take the model, what its inputs are called, and which output is wanted."""
        super().__init__()
        self.model, self.inputs, self.output, self.options = model, tuple(inputs), output, options

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Run it."""
        return getattr(self.model(**dict(zip(self.inputs, tensors, strict=True)), **self.options), self.output)


class UNet(nn.Module):
    """Convolutions down and up again, with interpolation between."""

    def __init__(self, mode: str) -> None:
        """Take what makes images larger: a mode of interpolation, or `transposed` convolutions."""
        super().__init__()
        self.mode = mode

        def block(channels: int, out: int, stride: int = 1) -> nn.Module:
            convolution = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())

        self.down = nn.ModuleList([block(3, 16), block(16, 32, 2), block(32, 64, 2)])
        self.up = nn.ModuleList([block(64 + 32, 32), block(32 + 16, 16)])
        self.transposed = nn.ModuleList([nn.ConvTranspose2d(64, 64, 2, 2), nn.ConvTranspose2d(32, 32, 2, 2)])
        self.last = nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Segment an image."""
        levels = []
        for block in self.down:
            x = block(x)
            levels.append(x)
        for block, transposed, level in zip(self.up, self.transposed, reversed(levels[:-1]), strict=True):
            if self.mode == "transposed":
                larger = transposed(x)
            else:
                larger = functional.interpolate(x, size=level.shape[-2:], mode=self.mode)
            x = block(torch.cat([larger, level], 1))
        return self.last(x)


@dataclass(frozen=True)
class Kind:
    """What networks take: the axes that are dynamic, and inputs of two sizes."""

    axes: Mapping[int, torch.export.Dim]
    make: Callable[[np.random.Generator, int], Arrays]


def texts(random: np.random.Generator, index: int) -> Arrays:
    """Token indices and a mask, the last text being padded."""
    batch, tokens = [(1, 9), (3, 40)][index]
    mask = np.ones((batch, tokens), np.int64)
    mask[-1, tokens // 2 :] = 0
    return {"input_ids": random.integers(5, 400, (batch, tokens)), "attention_mask": mask}


def numbers(shapes: list[tuple[int, ...]], random: np.random.Generator, index: int) -> Arrays:
    """Noise."""
    return {"x": random.standard_normal(shapes[index]).astype(np.float32)}


BATCH = torch.export.Dim("batch", min=1, max=64)
KINDS = {
    "text": Kind({0: BATCH, 1: torch.export.Dim("tokens", min=2, max=128)}, texts),
    "photo": Kind({0: BATCH}, partial(numbers, [(1, 3, 224, 224), (3, 3, 224, 224)])),
    "image": Kind({0: BATCH}, partial(numbers, [(1, 3, 64, 64), (3, 3, 64, 64)])),
    "spectrogram": Kind({0: BATCH}, partial(numbers, [(1, 40, 100), (3, 40, 100)])),
    "sound": Kind(
        {0: BATCH, 1: torch.export.Dim("samples", min=1000, max=100000)}, partial(numbers, [(1, 2450), (3, 4000)])
    ),
}


@dataclass(frozen=True)
class Network:
    """A network, and what it takes."""

    kind: str
    make: Callable[[], nn.Module]


def text(
    name: str, output: str = "last_hidden_state", config: Mapping[str, object] = TEXT, **options: object
) -> Network:
    """Give a network of texts by its names in transformers, `Model:Config`."""
    model, configuration = (getattr(transformers, part) for part in name.split(":"))
    causal = {"use_cache": False} if options.pop("causal", False) else {}
    make = partial(configuration, **{**config, **options})
    inputs = ("input_ids", "attention_mask")
    return Network("text", lambda: Of(model(make()), inputs, output, **causal))


def other(
    kind: str, name: str, output: str, config: Mapping[str, object], takes: str = "pixel_values", **options: object
) -> Network:
    """Give a network of images or sounds by its names in transformers."""
    model, configuration = (getattr(transformers, part) for part in name.split(":"))
    make = partial(configuration, **{**config, **options})
    return Network(kind, lambda: Of(model(make()), (takes,), output))


def photo(name: str) -> Network:
    """Give a network of timm's."""
    return Network("photo", lambda: timm.create_model(name, pretrained=False, num_classes=10))


def whisper() -> nn.Module:
    """Give the encoder of Whisper."""
    config = transformers.WhisperConfig(
        d_model=96,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=3,
        decoder_attention_heads=3,
        encoder_ffn_dim=192,
        decoder_ffn_dim=192,
        num_mel_bins=40,
        max_source_positions=50,
        vocab_size=500,
        pad_token_id=1,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )
    return Of(transformers.WhisperModel(config).get_encoder(), ("input_features",), "last_hidden_state")


T5 = {"d_model": 96, "d_kv": 32, "d_ff": 192, "num_layers": 2, "num_heads": 3, "vocab_size": 500}
GPT2 = {"n_embd": 96, "n_layer": 2, "n_head": 3, "vocab_size": 500, "n_positions": 130}
DISTIL = {
    "dim": 96,
    "n_layers": 2,
    "n_heads": 3,
    "hidden_dim": 192,
    "vocab_size": 500,
    "max_position_embeddings": 128,
}
DEBERTA = {
    "relative_attention": True,
    "position_buckets": 16,
    "pos_att_type": ["p2c", "c2p"],
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
}
SEGFORMER = {
    "hidden_sizes": [16, 32, 48, 64],
    "decoder_hidden_size": 64,
    "depths": [1] * 4,
    "num_attention_heads": [1, 2, 3, 4],
}
SPECIAL = {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}

NETWORKS: dict[str, Network] = {
    "bert": text("BertModel:BertConfig"),
    "distilbert": text("DistilBertModel:DistilBertConfig", config=DISTIL),
    "roberta": text("RobertaModel:RobertaConfig"),
    "xlm-roberta": text("XLMRobertaForTokenClassification:XLMRobertaConfig", "logits"),
    "mpnet": text("MPNetModel:MPNetConfig"),
    "albert": text("AlbertModel:AlbertConfig", embedding_size=64),
    "electra": text("ElectraForSequenceClassification:ElectraConfig", "logits", embedding_size=64),
    "deberta-v2": text("DebertaV2Model:DebertaV2Config", **DEBERTA),
    "convbert": text("ConvBertModel:ConvBertConfig", embedding_size=64, head_ratio=1, num_attention_heads=4),
    "squeezebert": text("SqueezeBertModel:SqueezeBertConfig", embedding_size=96, q_groups=1, k_groups=1, v_groups=1),
    "modernbert": text("ModernBertModel:ModernBertConfig", global_attn_every_n_layers=2, **SPECIAL),
    "t5-encoder": text("T5EncoderModel:T5Config", config=T5),
    "gpt2": text("GPT2LMHeadModel:GPT2Config", "logits", config=GPT2, causal=True),
    "llama": text("LlamaModel:LlamaConfig", causal=True, num_key_value_heads=3),
    "qwen3": text("Qwen3Model:Qwen3Config", causal=True, num_key_value_heads=1, head_dim=32),
    "clip-text": text("CLIPTextModel:CLIPTextConfig", eos_token_id=2),
    "clip-vision": other("image", "CLIPVisionModel:CLIPVisionConfig", "pooler_output", IMAGE),
    "dinov2": other("image", "Dinov2Model:Dinov2Config", "last_hidden_state", IMAGE),
    "siglip": other("image", "SiglipVisionModel:SiglipVisionConfig", "pooler_output", IMAGE),
    "segformer": other("image", "SegformerForSemanticSegmentation:SegformerConfig", "logits", SEGFORMER),
    "swin": other(
        "image",
        "SwinModel:SwinConfig",
        "last_hidden_state",
        {"image_size": 64, "patch_size": 4, "embed_dim": 32, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4},
    ),
    "yolos": other(
        "image",
        "YolosForObjectDetection:YolosConfig",
        "logits",
        IMAGE,
        image_size=[64, 64],
        num_detection_tokens=10,
    ),
    **{
        name: photo(name)
        for name in (
            "convnext_atto",
            "densenet121",
            "edgenext_xx_small",
            "efficientnet_b0",
            "ghostnet_100",
            "hrnet_w18_small",
            "levit_128s",
            "mixer_s32_224",
            "mobilenetv3_small_100",
            "mobilenetv4_conv_small",
            "mobilevit_xxs",
            "regnety_002",
            "repvgg_a0",
            "resnet18",
            "resnext26ts",
            "vit_tiny_patch16_224",
        )
    },
    **{
        f"u-net, {mode}": Network("image", partial(UNet, mode))
        for mode in ("bilinear", "nearest", "bicubic", "transposed")
    },
    "whisper-encoder": Network("spectrogram", whisper),
    "wav2vec2": other("sound", "Wav2Vec2ForCTC:Wav2Vec2Config", "logits", SOUND, "input_values", vocab_size=32),
    "hubert": other("sound", "HubertModel:HubertConfig", "last_hidden_state", SOUND, "input_values"),
}


def export(network: Network, exporter: str, path: Path) -> None:
    """Write the network's graph, with dynamic axes."""
    torch.manual_seed(0)
    module, kind = network.make().eval(), KINDS[network.kind]
    # Zeros, as some begin with, would hide whatever comes before them.
    for weights in module.parameters():
        if weights.ndim > 1 and not weights.any():
            nn.init.normal_(weights, std=0.02)
    # Not 1: the exporter takes that for a size that stays.
    inputs = kind.make(np.random.default_rng(0), 1)
    tensors = tuple(torch.from_numpy(array) for array in inputs.values())
    names = list(inputs)
    options = {"input_names": names, "output_names": ["y"], "dynamo": exporter == "dynamo", "verbose": False}
    if exporter == "dynamo":
        shapes = tuple(dict(kind.axes) for _ in names)
        # As arguments that have a name together.
        given = {"tensors": shapes} if isinstance(module, Of) else shapes
        options |= {"dynamic_shapes": given, "external_data": False}
    else:
        named = {axis: dimension.__name__ for axis, dimension in kind.axes.items()}
        options |= {"dynamic_axes": {**dict.fromkeys(names, named), "y": {0: "batch"}}, "opset_version": 17}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        torch.onnx.export(module, tensors, path, **options)


def samara(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command under test: `$SAMARA_BIN`, or what `make build` leaves behind."""
    return subprocess.run([SAMARA, *arguments], capture_output=True, text=True, check=False)


def difference(directory: Path, onnx: Path, component: Path, inputs: Arrays) -> float:
    """Give the largest difference to ONNX Runtime, where the mask masks nothing, relative to the largest number."""
    [expected] = onnxruntime.InferenceSession(onnx).run(None, dict(inputs))
    given: list[str | Path] = []
    for name, array in inputs.items():
        np.save(directory / f"{name}.npy", array)
        given += ["--input", f"{name}={directory / name}.npy"]
    run = samara("infer", component, *given, "--output", directory / "outputs")
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip())
    [output] = (directory / "outputs").glob("*.npy")
    got = np.load(output)
    if got.shape != expected.shape or not np.isfinite(got).all() or not expected.any():
        return float("inf")
    mask = inputs.get("attention_mask")
    if mask is not None and got.shape[:2] == mask.shape:
        got, expected = got[mask == 1], expected[mask == 1]
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def outcome(network: Network, exporter: str) -> str | float:
    """Give the largest difference of a network, or why there is none."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        onnx, component = directory / "model.onnx", directory / "model.wasm"
        try:
            export(network, exporter, onnx)
        except Exception as error:
            # Whatever the exporter raises.
            return f"not exported: {type(error).__name__}"
        run = samara("compile", onnx, "-o", component)
        if run.returncode != 0:
            print(run.stderr, file=sys.stderr)
            return "refused"
        random = np.random.default_rng(1)
        inputs = [KINDS[network.kind].make(random, index) for index in (0, 1)]
        try:
            return max(difference(directory, onnx, component, some) for some in inputs)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return "failed"


def table(names: Iterable[str]) -> tuple[list[str], bool]:
    """Try networks, and give the rows of a Markdown table, and whether no result is another."""
    rows = [
        "| network | any | " + " | ".join(EXPORTERS.values()) + " |",
        "|---|---|" + "---|" * len(EXPORTERS),
    ]
    right = True
    for name in names:
        network = NETWORKS[name]
        any_size = ", ".join(dimension.__name__ for dimension in KINDS[network.kind].axes.values())
        cells = []
        for exporter in EXPORTERS:
            result = outcome(network, exporter)
            right &= not (isinstance(result, float) and result > TOLERANCE) and result != "failed"
            cells.append(f"{result:.0e}" if isinstance(result, float) else result)
        rows.append(f"| {name} | {any_size} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return rows, right


def write(rows: list[str]) -> None:
    """Write the document, whole or not at all."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    unfinished = DOCUMENT.with_suffix(".md.partial")
    unfinished.write_text(ABOUT.format(packages=packages, table="\n".join(rows)), encoding="utf-8")
    unfinished.replace(DOCUMENT)


def main() -> int:
    """Try the networks that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="default: all, and docs/exports.md is written")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.networks) - set(NETWORKS))
    if unknown:
        parser.error(f"there is no network {unknown[0]!r}: there are {', '.join(NETWORKS)}")
    if not SAMARA.is_file():
        parser.error(f"{SAMARA} is missing: run `make build`")
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    onnxruntime.set_default_logger_severity(4)
    rows, right = table(arguments.networks or NETWORKS)
    if not arguments.networks:
        write(rows)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
