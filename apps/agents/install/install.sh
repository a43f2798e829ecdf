#!/bin/sh
# Installs the host agent of Watchkeeper and asks for this host to be let in. Run it as root; read it first.
#
#   sh install.sh [--token-stdin | --token-file FILE] [--name NAME] [--url URL] [--ca-file FILE]
#                 [--run-as USER] [--dir DIR] [--no-service] [--uninstall]
#
# The token comes from standard input, a file, the variable WATCHKEEPER_AGENT_TOKEN or the terminal, never from the
# command line, where every user of this host could read it. Without a token it renews an installation.
set -eu
umask 022

URL=@URL@
SHA256=@SHA256@

SERVICE=watchkeeper-agent
PACKAGES='psutil>=5.9 websockets>=12 cryptography>=41'

fail() {
    printf 'install: %s\n' "$1" >&2
    exit 1
}

say() {
    printf '%s\n' "$1"
}

# Quotes a word for a shell, for lines that a person copies.
quoted() {
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

has() {
    command -v "$1" >/dev/null 2>&1
}

fetch() { # URL FILE
    if has curl; then
        if [ -n "$ca_file" ]; then
            curl -fsSL --cacert "$ca_file" -o "$2" -- "$1"
        else
            curl -fsSL -o "$2" -- "$1"
        fi
    elif has wget; then
        if [ -n "$ca_file" ]; then
            wget -q --ca-certificate="$ca_file" -O "$2" -- "$1"
        else
            wget -q -O "$2" -- "$1"
        fi
    else
        fail 'curl or wget is missing; install one of them.'
    fi
}

sha256_of() { # FILE
    if has sha256sum; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif has shasum; then
        shasum -a 256 "$1" | cut -d ' ' -f 1
    else
        "$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
    fi
}

find_python() {
    python=
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 python3.9; do
        if has "$candidate" && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
            python=$(command -v "$candidate")
            return
        fi
    done
    fail 'Python 3.9 or later is missing; install the package python3.'
}

# Chooses what runs the program: this host's own packages where they do, else a virtual environment.
prepare_python() {
    if "$python" "$place/watchkeeper-agent.py" --version >/dev/null 2>&1; then
        return
    fi
    if ! "$place/venv/bin/python" "$place/watchkeeper-agent.py" --version >/dev/null 2>&1; then
        say 'Making a virtual environment …'
        rm -rf "$place/venv"
        "$python" -m venv "$place/venv" >/dev/null 2>&1 ||
            fail 'the module venv is missing; install the package python3-venv (or python3-psutil, python3-websockets and python3-cryptography).'
        # shellcheck disable=SC2086  # the list is meant to be split
        "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check $PACKAGES ||
            fail 'pip could not get psutil, websockets and cryptography; install the packages python3-psutil, python3-websockets and python3-cryptography, and run this again.'
        "$place/venv/bin/python" "$place/watchkeeper-agent.py" --version >/dev/null ||
            fail 'the program does not start with these packages; its message is above.'
    fi
    python=$place/venv/bin/python
}

make_user() {
    if ! id -u -- "$run_as" >/dev/null 2>&1; then
        if has useradd; then
            useradd --system --home-dir "$state" --no-create-home --shell /usr/sbin/nologin "$run_as"
        elif has adduser; then
            adduser -S -D -H -h "$state" -s /sbin/nologin "$run_as"
        else
            fail "the user $run_as is missing, and so are useradd and adduser; make that user, or give another one with --run-as."
        fi
    fi
}

write_unit() {
    groups=
    for group in systemd-journal adm; do
        if has getent && getent group "$group" >/dev/null; then
            groups="$groups $group"
        fi
    done
    {
        cat <<UNIT
[Unit]
Description=Watchkeeper host agent
Wants=network-online.target
After=network-online.target

[Service]
ExecStart="$python" "$place/watchkeeper-agent.py" --state "$state" run
User=$run_as
Restart=always
RestartSec=5
KillMode=mixed
TimeoutStopSec=15
UMask=0077
Nice=5
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
UNIT
        if [ "$run_as" != root ]; then
            # What it runs has the same bounds. As root it administers this host, and then they would be in the way.
            cat <<UNIT
SupplementaryGroups=$groups
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths="$state"
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
UNIT
        fi
        cat <<UNIT

[Install]
WantedBy=multi-user.target
UNIT
    } >"/etc/systemd/system/$SERVICE.service"
    systemctl daemon-reload
    systemctl enable --quiet "$SERVICE"
    systemctl restart "$SERVICE"
}

uninstall() {
    if [ -z "$dir" ] && has systemctl && [ -e "/etc/systemd/system/$SERVICE.service" ]; then
        systemctl disable --quiet --now "$SERVICE" || true
        rm -f "/etc/systemd/system/$SERVICE.service"
        systemctl daemon-reload || true
    fi
    rm -rf "$place/venv" "$place/watchkeeper-agent.py" "$place"/.watchkeeper-agent.py.* "$state"
    rmdir "$place" 2>/dev/null || true
    if [ -z "$dir" ] && [ "$run_as" = "$SERVICE" ] && id -u -- "$run_as" >/dev/null 2>&1; then
        if has userdel; then userdel "$run_as" || true; else deluser "$run_as" || true; fi
    fi
    say 'The agent and its key are gone from this host. Revoke or remove it in the console too.'
}

main() {
    name=
    ca_file=
    run_as=$SERVICE
    dir=
    token_from=
    with_service=yes
    task=install
    while [ $# -gt 0 ]; do
        case $1 in
            --url | --name | --ca-file | --run-as | --dir | --token-file)
                [ $# -ge 2 ] || fail "$1 wants a value."
                case $1 in
                    --url) URL=$2 ;;
                    --name) name=$2 ;;
                    --ca-file) ca_file=$2 ;;
                    --run-as) run_as=$2 ;;
                    --dir) dir=$2 ;;
                    --token-file) token_from=$2 ;;
                esac
                shift 2
                continue
                ;;
            --token-stdin) token_from=- ;;
            --no-service) with_service=no ;;
            --uninstall) task=uninstall ;;
            -h | --help)
                sed -n '2,9s/^# \{0,1\}//p' "$0"
                exit 0
                ;;
            *) fail "$1 is not known; --help tells what is." ;;
        esac
        shift
    done
    case $URL in
        http://?* | https://?*) ;;
        *) fail 'give the address of Watchkeeper: --url https://watch.example.org' ;;
    esac
    case $run_as in
        '' | -* | *[!A-Za-z0-9._-]*) fail '--run-as wants the name of a user.' ;;
    esac
    case $dir in
        '') place=/opt/$SERVICE state=/var/lib/$SERVICE ;;
        /*) place=$dir state=$dir/state with_service=no ;;
        *) fail '--dir wants a path that begins with /.' ;;
    esac
    case $place in
        *[\"\\%\$\`]* | *'
'*) fail '--dir must not hold quotes, backslashes, percent or dollar signs.' ;;
    esac
    if [ -z "$dir" ] && [ "$(id -u)" != 0 ]; then
        fail 'run it as root (sudo), or give --dir with a folder of yours.'
    fi
    if [ "$task" = uninstall ]; then
        uninstall
        exit 0
    fi
    find_python

    # The token, before anything is changed.
    token=
    if [ "$token_from" = - ]; then
        IFS= read -r token || [ -n "$token" ] || fail 'there is no token on standard input.'
    elif [ -n "$token_from" ]; then
        IFS= read -r token <"$token_from" || [ -n "$token" ] || fail 'the token file is empty.'
    elif [ -n "${WATCHKEEPER_AGENT_TOKEN:-}" ]; then
        token=$WATCHKEEPER_AGENT_TOKEN
        unset WATCHKEEPER_AGENT_TOKEN
    elif [ ! -e "$state/agent.json" ]; then
        if [ -t 1 ] && [ -r /dev/tty ]; then
            printf 'Enrolment token (it is not shown): ' >/dev/tty
            stty -echo </dev/tty
            IFS= read -r token </dev/tty || true
            stty echo </dev/tty
            printf '\n' >/dev/tty
        fi
        [ -n "$token" ] || fail 'an enrolment token is missing; make one in the console under “Host agents” and give it by --token-stdin or --token-file.'
    fi

    temporary=$(mktemp -d)
    arriving=
    trap 'rm -rf "$temporary" ${arriving:+"$arriving"}' EXIT
    trap 'exit 130' INT TERM
    fetch "$URL/agent/watchkeeper-agent.py" "$temporary/agent.py" || fail "the program could not be fetched from $URL."
    [ "$(sha256_of "$temporary/agent.py")" = "$SHA256" ] ||
        fail 'the program that came is not the one this script is for (its SHA-256 differs); fetch this script anew.'

    mkdir -p "$place"
    if [ -z "$dir" ]; then
        make_user
    fi
    mkdir -p "$state"
    chmod 0700 "$state"
    # Copied beside its place and renamed: an agent that starts meanwhile finds the old program or the new one, whole.
    arriving=$place/.watchkeeper-agent.py.$$
    cp "$temporary/agent.py" "$arriving"
    chmod 0644 "$arriving"
    mv -f "$arriving" "$place/watchkeeper-agent.py"
    prepare_python

    if [ -n "$token" ]; then
        set -- --url "$URL" --token-file - --no-wait
        [ -z "$name" ] || set -- "$@" --name "$name"
        [ -z "$ca_file" ] || set -- "$@" --ca-file "$ca_file"
        printf '%s\n' "$token" | "$python" "$place/watchkeeper-agent.py" --state "$state" enroll "$@" ||
            fail 'the host could not be enrolled; the reason is above.'
    fi
    if [ -z "$dir" ]; then
        chown -R -- "$run_as" "$state"
    fi

    if [ "$with_service" = yes ] && has systemctl && [ -d /run/systemd/system ]; then
        write_unit
        say "The agent runs as the service $SERVICE."
    else
        say 'Have this line run at every start of the host:'
        line="$(quoted "$python") $(quoted "$place/watchkeeper-agent.py") --state $(quoted "$state") run"
        if [ -z "$dir" ] && [ "$run_as" != root ]; then
            line="su -s /bin/sh -c $(quoted "exec $line") $(quoted "$run_as")"
        fi
        say "  $line"
    fi
}

# Nothing above runs before the last line has arrived.
main "$@"
