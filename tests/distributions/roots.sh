# Other scripts source this file for root directories of Debian's suites, which contain the
# packages that the tests of pyxs need.
#
#   root_of SUITE                           print the root's directory; make it if it is missing
#   in_root SUITE DIRECTORY COMMAND [ARGUMENT...]
#                                           run a command in it, in DIRECTORY, which is /mnt there
#
# The command runs as root, with its own /dev, /proc, /tmp and processes. It works on an overlay:
# its changes outside /mnt are lost afterwards, also packages that it installs. All mounts and
# processes end with the command, however it ends.
#
# Roots are kept in ${PYXS_DISTRIBUTIONS_CACHE:-${XDG_CACHE_HOME:-~/.cache}/pyxs-distributions}.
# A root is made again when its recipe changes: its packages, or the functions that unpack it.

roots_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/distributions/debian.sh
. "$roots_here/debian.sh"

roots_cache=${PYXS_DISTRIBUTIONS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pyxs-distributions}
SUITES=(bullseye bookworm trixie sid)

# Print the packages of a suite's root, besides apt.
packages_of() { # SUITE
    local packages=(
        python3-venv python3-setuptools python3-wheel # they make the wheel and install it
        python3-pytest python3-pytest-timeout python3-hypothesis
        xenstore-utils gcc libc6-dev procps zsh openssh-server openssh-client
    )
    case $1 in
    bullseye) packages+=(xen-utils-4.14) ;;
    bookworm) packages+=(xen-utils-4.17) ;;
    trixie) packages+=(xen-utils-4.20) ;;
    # All that are there, as a pattern of apt. The tests use the newest (tests/xen_utils.py).
    sid) packages+=('?name(^xen-utils-[0-9.]+$)' python3.14-venv python3.15-venv) ;;
    *)
        echo "distributions: $1 is not one of ${SUITES[*]}" >&2
        return 2
        ;;
    esac
    (IFS=, && echo "${packages[*]}")
}

root_of() { # SUITE
    local suite=$1 packages recipe place=$roots_cache/$1
    packages=$(packages_of "$suite") || return
    recipe=$(echo "$packages" && declare -f root_of debian_unpack debian_mirror)
    mkdir -p "$place"
    (
        flock 9
        [ "$(cat "$place/recipe" 2>/dev/null)" != "$recipe" ] || exit 0
        echo "distributions: unpacking $suite in $place" >&2
        rm -rf "$place/recipe" "$place/root"
        debian_unpack apt "$suite" "$place/root" --include="$packages" \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            >&2 || exit
        echo "$recipe" >"$place/recipe"
    ) 9>"$place/lock" || return
    echo "$place/root"
}

in_root() { # SUITE DIRECTORY COMMAND [ARGUMENT...]
    local root
    root=$(root_of "$1") || return
    # When this shell dies, unshare is killed, and with it all that runs in the root.
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private \
        bash "$roots_here/enter" "$root" "${@:2}"
}
