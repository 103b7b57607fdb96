# Other scripts source this file to unpack a suite of Debian into a directory.
#
#   debian_unpack VARIANT SUITE DIRECTORY [OPTION...]
#
# unpacks a suite with mmdebstrap, which it installs if it is missing. It uses the mirror and
# the proxy of this machine's apt. VARIANT and OPTION are mmdebstrap's.

# Print the address of the mirror that apt uses for Debian's packages.
debian_mirror() {
    # shellcheck disable=SC2016 # apt expands these
    apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' |
        sed -n '/ Debian$/ { s/ .*//p; q }'
}

debian_unpack() { # VARIANT SUITE DIRECTORY [OPTION...]
    local variant=$1 suite=$2 directory=$3 mirror options=()
    shift 3
    mirror=$(debian_mirror)
    if [ -z "$mirror" ] || ! command -v mmdebstrap >/dev/null; then
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null
        mirror=$(debian_mirror)
    fi
    if [ -z "$mirror" ]; then
        echo "$suite: apt has no mirror of Debian configured" >&2
        return 1
    fi
    # The options of this machine's apt for reaching mirrors: proxies, time-outs.
    while read -r option; do
        options+=("--aptopt=$option")
    done < <(apt-config dump | grep -E '^Acquire::(https?|Retries)\b.* ".+";')
    # The mirror's copy of a suite may be some weeks old.
    mmdebstrap --quiet --variant="$variant" "${options[@]}" \
        --aptopt='Acquire::Check-Valid-Until "false"' "$@" "$suite" "$directory" "$mirror"
}
