# What the commands in scripts/ need before they can start: Debian packages and a .venv.
# Sourced, never run. Everything that is there already costs well under a second.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VENV=$REPO/.venv

# What a relay and its sandbox are made of.
RELAY_PACKAGES=(
  postfix dovecot-core dovecot-imapd dovecot-lmtpd dovecot-auth-lua lua-socket
  ca-certificates
)

# What the tests need beyond that: systemd-analyze, which reads the units, and what makes Debian
# hosts, boots them in containers, gives them certificates and installs a relay on them by ssh.
TEST_PACKAGES=(
  systemd gnupg debootstrap systemd-container openssl openssh-client opendkim opendkim-tools
)

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$@"
  exit 1
}

# ensure_debian_packages NAME...: installs those that are missing where it may, or says which.
ensure_debian_packages() {
  local missing=() name
  for name in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
      missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null ||
    fail "This needs the Debian packages ${missing[*]}, and there is no apt-get here."
  ((EUID == 0)) ||
    fail "These Debian packages are missing; install them, or run this as root:" \
      $'\n'"  sudo apt-get install --no-install-recommends ${missing[*]}"
  say "Installing Debian packages: ${missing[*]}"
  (install_debian_packages "${missing[@]}") || fail "apt-get could not install ${missing[*]}."
}

# In a subshell of its own: its trap is for the policy file alone.
install_debian_packages() {
  local policy=/usr/sbin/policy-rc.d log
  if [[ ! -e $policy ]]; then
    # Installing a server starts it, on Debian. The sandbox's are its own; the system's stay off.
    # shellcheck disable=SC2064 # the path as it is now
    trap "rm -f '$policy'" EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  # No system-wide configuration either: without one, Postfix is not started at the next boot.
  if [[ " $* " == *" postfix "* ]]; then
    echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
  fi
  log=$(mktemp)
  if ! apt_get_install "$@" >"$log" 2>&1; then
    # Package lists that were never fetched, or that are too old.
    say "Fetching the package lists first (apt-get update)"
    apt-get -qq update >>"$log" 2>&1
    apt_get_install "$@" >>"$log" 2>&1 || {
      tail -n 30 "$log" >&2
      rm -f "$log"
      return 1
    }
  fi
  rm -f "$log"
  if [[ " $* " == *" dovecot-core "* && -d /run/systemd/system ]]; then
    systemctl --quiet disable dovecot.service dovecot.socket || true
    say "Dovecot was installed for the sandbox; the system's own is not started at boot."
  fi
}

apt_get_install() { apt-get -y -q --no-install-recommends install "$@"; }

# The newest Python that the project supports; $PYTHON, if set, is taken instead.
find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

# venv_has EXTRAS: whether .venv was made from this pyproject.toml, with at least these extras.
venv_has() {
  local stamp
  [[ -x $VENV/bin/python ]] || return 1
  for stamp in "$VENV/.installed-$1"*; do
    [[ -e $stamp && $(<"$stamp") == "$(venv_stamp)" ]] && return 0
  done
  return 1
}

# A checkout that was moved or copied needs its .venv made anew as well.
venv_stamp() { echo "$REPO $(sha256sum <"$REPO/pyproject.toml")"; }

# ensure_venv [EXTRAS]: .venv with this checkout installed in it, and the given extras (test).
ensure_venv() {
  local extras=${1:-} python
  venv_has "$extras" && return 0
  (
    flock 9 # two commands may have been started at once
    venv_has "$extras" && exit 0
    if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
      python=$(find_python) || fail "This needs Python 3.11 or newer; Debian 12 and later have it."
      if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        ensure_debian_packages python3-venv
      fi
      say "Making .venv with $("$python" --version)"
      "$python" -m venv --clear "$VENV" || fail "$python could not make $VENV."
    fi
    say "Installing Postern and the libraries it needs in .venv${extras:+, with those for the tests}"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
      --editable "$REPO${extras:+[$extras]}" || fail "pip could not install them."
    venv_stamp >"$VENV/.installed-$extras"
  ) 9<"$REPO/pyproject.toml" || exit 1
}
