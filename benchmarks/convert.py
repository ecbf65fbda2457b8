"""Peak memory and time of a conversion at the published size, beside loading everything at once.

Makes files of the published sizes (random access patterns do not matter, so the values are zeros)
in a scratch folder of about 33 GB, converts them in a process of its own, and prints a table.

    python benchmarks/convert.py --work /tmp/convert-benchmark
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaConfig

GOLDEN = Path(__file__).parents[1] / "tests" / "parity" / "golden"
WIDTH, LAYERS, MLP, VOCABULARY = 4096, 32, 11008, 32000
VISION_WIDTH, VISION_BLOCKS, VISION_MLP = 1408, 40, 6144


def zeros(*shape: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    """A tensor of the published shape."""
    return torch.zeros(shape, dtype=dtype)


def make_llama(folder: Path) -> None:
    """Llama-2-7b in fp16, one file per layer, so that making it needs little memory."""
    folder.mkdir(parents=True)
    LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=MLP,
        num_hidden_layers=LAYERS,
        num_attention_heads=32,
    ).save_pretrained(folder)
    AutoTokenizer.from_pretrained(GOLDEN / "llama").save_pretrained(folder)
    outer = {
        "model.embed_tokens.weight": zeros(VOCABULARY, WIDTH),
        "lm_head.weight": zeros(VOCABULARY, WIDTH),
        "model.norm.weight": zeros(WIDTH),
    }
    save_file(outer, folder / "model-00000.safetensors")
    for index in range(LAYERS):
        prefix = f"model.layers.{index}"
        layer = {f"{prefix}.self_attn.{p}_proj.weight": zeros(WIDTH, WIDTH) for p in "qkvo"}
        layer |= {f"{prefix}.mlp.{p}_proj.weight": zeros(MLP, WIDTH) for p in ("gate", "up")}
        layer[f"{prefix}.mlp.down_proj.weight"] = zeros(WIDTH, MLP)
        layer[f"{prefix}.input_layernorm.weight"] = zeros(WIDTH)
        layer[f"{prefix}.post_attention_layernorm.weight"] = zeros(WIDTH)
        save_file(layer, folder / f"model-{index + 1:05d}.safetensors")


def make_vision(path: Path) -> None:
    """eva_vit_g.pth in fp16, 40 blocks."""
    width = VISION_WIDTH
    state = {
        "cls_token": zeros(1, 1, width),
        "pos_embed": zeros(1, 257, width),
        "patch_embed.proj.weight": zeros(width, 3, 14, 14),
        "patch_embed.proj.bias": zeros(width),
    }
    for index in range(VISION_BLOCKS):
        prefix = f"blocks.{index}"
        for norm in ("norm1", "norm2"):
            state |= {f"{prefix}.{norm}.{part}": zeros(width) for part in ("weight", "bias")}
        state |= {
            f"{prefix}.attn.qkv.weight": zeros(3 * width, width),
            f"{prefix}.attn.q_bias": zeros(width),
            f"{prefix}.attn.v_bias": zeros(width),
            f"{prefix}.attn.proj.weight": zeros(width, width),
            f"{prefix}.attn.proj.bias": zeros(width),
            f"{prefix}.mlp.fc1.weight": zeros(VISION_MLP, width),
            f"{prefix}.mlp.fc1.bias": zeros(VISION_MLP),
            f"{prefix}.mlp.fc2.weight": zeros(width, VISION_MLP),
            f"{prefix}.mlp.fc2.bias": zeros(width),
        }
    torch.save(state, path)


def make_checkpoint(path: Path) -> None:
    """The published checkpoint: LoRA and projections in fp32."""
    state = {}
    for index in range(LAYERS):
        for module in ("q_proj", "v_proj"):
            layer = f"llama_model.base_model.model.model.layers.{index}.self_attn.{module}"
            state[f"{layer}.lora_A.weight"] = zeros(64, WIDTH, dtype=torch.float32)
            state[f"{layer}.lora_B.weight"] = zeros(WIDTH, 64, dtype=torch.float32)
    widths = {"llama_proj": 5632, "cls_tk_llama_proj": 1408}
    widths |= {f"feats_llama_proj{i}": 1024 for i in (1, 2, 3)}
    for name, width in widths.items():
        state[f"{name}.weight"] = zeros(WIDTH, width, dtype=torch.float32)
        state[f"{name}.bias"] = zeros(WIDTH, dtype=torch.float32)
    content = {"model": state, "optimizer": {}, "config": {}, "scaler": None, "epoch": 29}
    torch.save(content, path)


STREAMED = """
from emotion_llama.model.checkpoint import convert
convert(r"{work}/llama", r"{work}/eva_vit_g.pth", r"{work}/emotion_llama.pth", r"{work}/out")
"""
AT_ONCE = """
import torch
from pathlib import Path
from safetensors.torch import load_file
work = Path(r"{work}")
held = [load_file(p) for p in sorted((work / "llama").glob("*.safetensors"))]
held = [{{k: v.clone() for k, v in part.items()}} for part in held]
held += [torch.load(work / n, weights_only=True) for n in ("eva_vit_g.pth", "emotion_llama.pth")]
"""


def measure(script: str) -> dict[str, float]:
    """Run a script in its own process; give seconds, and peak memory in GB.

    Private memory is what counts: the system takes back pages of memory-mapped files at need.
    """
    probe = (
        "import resource, threading, time, json\n"
        "peak = [0]\n"
        "def watch():\n"
        "    while True:\n"
        "        for line in open('/proc/self/status'):\n"
        "            if line.startswith('RssAnon'):\n"
        "                peak[0] = max(peak[0], int(line.split()[1]))\n"
        "        time.sleep(0.05)\n"
        "threading.Thread(target=watch, daemon=True).start()\n"
    )
    report = (
        "\nmapped = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print('MEASURED', json.dumps({'private': peak[0] / 1e6, 'resident': mapped / 1e6}))\n"
    )
    start = time.perf_counter()
    command = [sys.executable, "-c", probe + script + report]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(x for x in output.splitlines() if x.startswith("MEASURED"))
    return {"seconds": time.perf_counter() - start} | json.loads(line.removeprefix("MEASURED"))


def main() -> None:
    """Make the files, measure both ways, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="scratch folder, about 33 GB")
    work: Path = parser.parse_args().work
    shutil.rmtree(work, ignore_errors=True)
    make_llama(work / "llama")
    make_vision(work / "eva_vit_g.pth")
    make_checkpoint(work / "emotion_llama.pth")
    made_with = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"files made (peak {made_with:.1f} GB)", flush=True)
    rows = {
        "convert (streams)": measure(STREAMED.format(work=work)),
        "baseline: load everything": measure(AT_ONCE.format(work=work)),
    }
    print(f"{'':<28}{'private GB':>12}{'resident GB':>13}{'seconds':>10}")
    for name, row in rows.items():
        print(f"{name:<28}{row['private']:>12.1f}{row['resident']:>13.1f}{row['seconds']:>10.0f}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
