#!/bin/bash
# From the data to the weights of the mini preset: runs/mini.sh --data DIR [--out DIR] [--quick] [--seed N]
#
# --quick trains a quarter as long, to see that everything works before the whole run, or to compare recipes; what comes
# out is a preset like any other, but a weaker one. --seed draws other first weights and another order of the data.
#
# Every stage goes on where it stopped and is passed over once it is done. Two CPU cores are enough. The preset is
# written to OUT/preset; to package it, copy that folder over emotion_llama/presets/mini.
set -euo pipefail
cd "$(dirname "$0")/.."

data="${EMOTION_LLAMA_DATA:-}"
out=""
quick=""
seed=0
while [ $# -gt 0 ]; do
    case "$1" in
        --data) data="$2"; shift 2 ;;
        --out) out="$2"; shift 2 ;;
        --quick) quick=yes; shift ;;
        --seed) seed="$2"; shift 2 ;;
        *) echo "usage: runs/mini.sh --data DIR [--out DIR] [--quick] [--seed N]; found $1" >&2; exit 2 ;;
    esac
done
if [ -z "$data" ]; then
    echo "found no data folder; give --data DIR or set EMOTION_LLAMA_DATA (docs/data.md says what it holds)" >&2
    exit 2
fi
out="${out:-runs/mini${quick:+-quick}}"
python="${PYTHON:-.venv/bin/python}"
if ! "$python" -c "import matplotlib, sklearn, soundfile, tensorboard"; then
    echo "found that $python lacks what training needs; run $python -m pip install -e '.[train]'" >&2
    exit 2
fi
mkdir -p "$out"
if [ -e "$out/.seed" ] && [ "$(cat "$out/.seed")" != "$seed" ]; then
    echo "found $out begun with seed $(cat "$out/.seed"), expected $seed; give another folder with --out" >&2
    exit 2
fi
echo "$seed" > "$out/.seed"

stage() { # NAME COMMAND...: run once, with its time
    local name="$1" started=$SECONDS
    shift
    if [ -e "$out/.$name.done" ]; then
        echo "$name: done before"
        return
    fi
    echo "$name: $*"
    "$@"
    touch "$out/.$name.done"
    echo "$name: $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
}

train() { # CONFIG [NAME=VALUE...]: the same recipe, on the folders of this run
    local text="$out/$(basename "$1")"
    sed "s#runs/mini/#$out/#g; s#^encoders: .*#encoders: $out/encoders#" "$1" > "$text"
    "$python" -m emotion_llama train "$text" seed="$seed" "${@:2}"
}

encoders=("$python" tools/train_mini_encoders.py --data "$data" --out "$out/encoders" --seed "$seed" --resume ${quick:+--share 0.25})
stage audio "${encoders[@]}" --only audio
stage local "${encoders[@]}" --only local
stage temporal "${encoders[@]}" --only temporal
stage global "${encoders[@]}" --only global
stage language_model "$python" tools/train_mini_language_model.py --data "$data" --out "$out/language_model" \
    --seed "$seed" ${quick:+--steps 175 --answer-steps 225}
stage data "$python" tools/make_mini_data.py --data "$data" --encoders "$out/encoders" --out "$out/data" --seed "$seed"
stage stage1 train configs/mini_stage1.yaml ${quick:+epochs=1}
stage stage2 train configs/mini_stage2.yaml ${quick:+epochs=1 steps_per_epoch=150}
stage preset "$python" tools/finish_mini.py --model "$out/stage2/model" --data "$out/data" --out "$out/preset"
echo "all of this run: $((SECONDS / 60)) min $((SECONDS % 60)) s"
echo "the preset is in $out/preset; try it: emotion-llama predict CLIP --preset $out/preset"
