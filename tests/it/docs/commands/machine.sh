# A machine for the commands of one page. It begins in namespaces of its own (user, network, mounts, processes), as their root, in an empty directory: so
# the ports and paths that a page names are free, whatever else runs. $1 is the page's script, $BLOCKS the directory of its code blocks, $CRATE that of the
# crate, $OWN says whether there are namespaces.
#
# A page's script calls `block`, `terminal`, `seen` or `asked` for each shell block, in the order of a reader, or says `elsewhere` why not.

set -E
trap 'echo "${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >&2' ERR

WORK=$PWD
export HOME=$WORK/home
mkdir "$HOME" bin
printf 'silent\nshow-error\n' >"$HOME/.curlrc" # its progress is not for a log
PATH=$WORK/bin:$CRATE/tests/it/docs/commands/bin:$PATH
ln -s "$PROGRAM" bin/flexslot-proxy
cp -r "$CRATE/deploy" "$CRATE/tests/it/docs/commands/oauth.toml" .
# Follows a link and allows what it is asked.
export BROWSER=browser

if [[ $OWN == yes ]]; then
    ip link set lo up
    # Where the outer one may not be covered, it does.
    mount -t proc proc /proc 2>/dev/null || true
    mkdir etc
    cp -r /etc/. etc 2>/dev/null || true # some of it is for nobody but the real root
    mount --bind etc /etc
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /var/lib
    mount -t tmpfs tmpfs /usr/local/sbin
    PATH=$PATH:/usr/local/sbin
fi

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# block_with LANGUAGE WORDS: the file of the page's block that is these words, else of the only one that has them in it.
block_with() {
    local file found=()
    for file in "$BLOCKS/$1"-*; do
        if [[ $(<"$file") == "$2" ]]; then
            echo "$file"
            return
        fi
        if [[ $(<"$file") == *"$2"* ]]; then found+=("$file"); fi
    done
    [[ ${#found[@]} == 1 ]] || fail "${#found[@]} blocks of $1 have: $2"
    echo "${found[0]}"
}

# Makes the file `now` out of a block: what an expression of sed puts into the place of placeholders.
edited() {
    local found
    found=$(block_with sh "$1")
    echo "${found##*-}" >>"$WORK/ledger"
    sed -e "${2:-}" "$found" >"$WORK/now"
    sh -n "$WORK/now"
}

# block WORDS [SED]: runs the block that has these words, here, so that its variables last.
block() {
    edited "$1" "${2:-}"
    . "$WORK/now"
}

# elsewhere WORDS REASON: the block is not run here.
elsewhere() {
    edited "$1"
    [[ -n $2 ]]
}

# terminal NAME SAYS WORDS [SED]: runs the block in a terminal of its own, whose text is in the file NAME, and waits until it says something. The program's
# process id is in NAME.pid.
terminal() {
    edited "$3" "${4:-}"
    behind "$1" "$2" bash -c "$(cat "$WORK/now")"
}

# behind NAME SAYS COMMAND…: the same with a command that no block has.
behind() {
    local name=$1 words=$2
    shift 2
    : >"$WORK/$name"
    set -m # so that Ctrl-C reaches it alone
    "$@" >"$WORK/$name" 2>&1 </dev/null &
    set +m
    echo $! >"$WORK/$name.pid"
    awaits "$words" "$WORK/$name"
}

# awaits WORDS FILE: until the words stand in the file that somebody writes.
awaits() {
    timeout 60 grep -q -m 1 -F -e "$1" <(tail -n +1 -f --pid=$$ "$2") || fail "$2 does not say: $1" "$(cat "$2")"
}

# ctrl_c NAME: ends what runs in the terminal.
ctrl_c() {
    local pid
    pid=$(cat "$WORK/$1.pid")
    kill -INT -- "-$pid"
    wait "$pid" || true
}

# seen WORDS [SED]: runs the block at a terminal, where commands do more.
seen() {
    edited "$1" "${2:-}"
    at-a-terminal '' '' bash -eu "$WORK/now"
}

# asked WORDS PROMPT ANSWER [SED]: the same, and somebody there answers the prompt.
asked() {
    edited "$1" "${4:-}"
    at-a-terminal "$2" "$3" bash -eu "$WORK/now"
}

# says WORDS FILE
says() {
    grep -q -F -e "$1" "$2" || fail "$2 does not say: $1" "$(cat "$2")"
}

# shows WORDS FILE: every line of the page's text that has these words is in the file.
shows() {
    local line
    while IFS= read -r line; do says "$line" "$2"; done <"$(block_with text "$1")"
}

# header NAME FILE: a header of the answer that curl -i printed.
header() {
    sed -n "s/\r$//; s/^$1: //Ip" "$2"
}

# A sandbox at its usual address, with ada's personal access token in $PAT.
sandbox() {
    behind sandbox 'connected-apps' flexslot-proxy sandbox
    PAT=$(sed -n 's/.* only in here: //p' "$WORK/sandbox")
    export FLEXSLOT_PROXY_UPSTREAM=http://127.0.0.1:3541
}

# A configuration whose OAuth client the sandbox knows, beside which the store is made.
configured() {
    cp "$WORK/oauth.toml" proxy.toml
}

# A desktop's session: a bus, and on it a keyring that is open.
desktop() {
    mkdir -m 700 runtime
    export XDG_RUNTIME_DIR=$WORK/runtime DBUS_SESSION_BUS_ADDRESS=unix:path=$WORK/runtime/bus
    # A bus that starts nothing by itself: it would start another keyring, which nobody opens, for whoever asks before ours is there.
    cat >bus.conf <<END
<busconfig>
<type>session</type>
<listen>$DBUS_SESSION_BUS_ADDRESS</listen>
<auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
END
    behind bus 'unix:path=' dbus-daemon --nofork --print-address=1 --config-file="$PWD/bus.conf"
    gnome-keyring-daemon --foreground --components=secrets --unlock <<<password >keyring 2>&1 &
    until echo open | timeout 10 secret-tool store --label=open is open 2>/dev/null; do :; done
}

# A host on which the service runs, as docs/operations.md has it.
service() {
    mkdir -p /etc/flexslot-proxy
    cp "$WORK/deploy/systemd/in-service" /usr/local/sbin/
    cp "$WORK/deploy/systemd/proxy.toml" /etc/flexslot-proxy/
    cp "$WORK/deploy/systemd/flexslot-proxy.service" /etc/systemd/system/
    flexslot-proxy key generate --out /etc/flexslot-proxy/encryption-key
    systemctl enable --now flexslot-proxy
}

. "$1"
