"""Run the command line as ``python -m emotion_llama``. Knows nothing else."""

from emotion_llama.cli import main

if __name__ == "__main__":
    main()
