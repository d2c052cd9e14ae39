"""`python -m ctrbench` is the command `ctrbench`."""

from ctrbench.cli import main

if __name__ == "__main__":
    main(prog_name="ctrbench")
