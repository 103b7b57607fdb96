"""Makes the completion scripts of pyxs from its parser, with shtab.

``python tests/completion_scripts.py`` writes them; ``test_completion.py`` fails if they are old.
"""

import os

import shtab

import pyxs._cli
from pyxs.cli import get_parser

DIRECTORY = os.path.dirname(os.path.abspath(pyxs._cli.__file__))

# Both scripts ask the store that the command line names. If the typed word is the whole path of
# a node, they offer its children.
BASH = r"""
_pyxs_store() {
  local at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case ${COMP_WORDS[at]} in
      --xenbus) echo --xenbus ;;
      --socket | --device)
        printf '%s\n' "${COMP_WORDS[at]}"
        [[ ${COMP_WORDS[at + 1]} == = ]] && ((at++)) # bash makes it a word
        printf '%s\n' "${COMP_WORDS[at + 1]}" ;;
    esac
  done
}

_pyxs_below() { # PATH
  local -a store
  mapfile -t store < <(_pyxs_store)
  command pyxs list "${store[@]}" "${1:-/}" 2>/dev/null | sed "s:^:$1/:"
}

_pyxs_path() { # WORD
  local found
  found=$(compgen -W "$(_pyxs_below "${1%/*}")" -- "$1")
  [[ $found == "$1" && -n $1 ]] && found=$(_pyxs_below "$1")
  printf '%s\n' $found
}
"""

BASH_END = r"""
_pyxs() {
  _shtab_pyxs "$@"
  # A path goes on below the node.
  [[ ${COMPREPLY[0]} == */* ]] && compopt -o nospace
}
complete -F _pyxs pyxs
"""

ZSH = r"""
_pyxs_store() {
  # Not $words, which _arguments has left without options.
  local -a line=(${(Qz)LBUFFER})
  local -i at
  for ((at = 2; at < $#line; at++)); do
    case $line[at] in
      --xenbus | --socket=* | --device=*) print -r -- $line[at] ;;
      --socket | --device) print -rl -- $line[at] $line[at+1] ;;
    esac
  done
}

_pyxs_below() { # PATH
  command pyxs list ${(f)"$(_pyxs_store)"} ${1:-/} 2>/dev/null | sed "s:^:$1/:"
}

_pyxs_path() {
  local word=${(Q)PREFIX}
  local -a found
  found=(${(M)${(f)"$(_pyxs_below ${word%/*})"}:#$word*})
  [[ $#found == 1 && $found[1] == $word ]] && found=(${(f)"$(_pyxs_below $word)"})
  compadd -S '' -- $found
}
"""


def make(shell):
    """Return the script for a shell."""
    parser = get_parser()
    for subparser in parser._subparsers._group_actions[0].choices.values():
        for action in subparser._actions:
            if action.dest in ("file", "load"):
                action.complete = shtab.FILE
            elif getattr(action, "complete", None) is not None:
                action.complete = {"bash": "_pyxs_path", "zsh": "_pyxs_path"}
    text = shtab.complete(parser, shell=shell, preamble={"bash": BASH, "zsh": ZSH})
    return text + BASH_END if shell == "bash" else text


def place(shell):
    """Return the file that the script for a shell is kept in."""
    return os.path.join(DIRECTORY, "completion." + shell)


if __name__ == "__main__":
    for each in ("bash", "zsh"):
        with open(place(each), "w") as file:
            file.write(make(each))
