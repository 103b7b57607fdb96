# For other scripts to source: Debian's suites, unpacked beside the one that runs.
#
#   debian_unpack VARIANT SUITE DIRECTORY [OPTION...]
#
# unpacks a suite with mmdebstrap, from the mirror and through the proxy that apt is
# configured for on this machine, and installs mmdebstrap if need be.  VARIANT and OPTION
# are mmdebstrap's.

# The address from which apt takes Debian's packages.
debian_mirror() {
    # shellcheck disable=SC2016 # apt puts in the values
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
        echo "$suite: apt is configured for no mirror of Debian" >&2
        return 1
    fi
    # How this machine reaches mirrors: proxies, time-outs.
    while read -r option; do
        options+=("--aptopt=$option")
    done < <(apt-config dump | grep -E '^Acquire::(https?|Retries)\b.* ".+";')
    # The mirror's copy of a suite may be some weeks old.
    mmdebstrap --quiet --variant="$variant" "${options[@]}" \
        --aptopt='Acquire::Check-Valid-Until "false"' "$@" "$suite" "$directory" "$mirror"
}
