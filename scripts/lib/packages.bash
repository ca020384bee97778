# The system's packages. What counts is whether the command or file is there, not who installed it.

# Level; command, or files of which one will do; the package that brings it on Debian and Ubuntu, Fedora, Arch, and
# macOS with Homebrew (- where there is none). The ROM is that of the network card which QEMU's virt machine has unless told otherwise.
readonly requirements='
demo qemu-system-aarch64                      qemu-system-arm  qemu-system-aarch64 qemu-system-aarch64 qemu
demo /usr/share/AAVMF/AAVMF_CODE.fd           qemu-efi-aarch64 edk2-aarch64        edk2-aarch64        qemu
demo /usr/share/qemu-efi-aarch64/QEMU_EFI.fd  qemu-efi-aarch64 edk2-aarch64        edk2-aarch64        qemu
demo /usr/*/ipxe/qemu/efi-virtio.rom:/usr/share/qemu/efi-virtio.rom \
                                              ipxe-qemu        ipxe-roms-qemu      qemu-common         qemu
test clang                                    clang            clang               clang               llvm
test lld-link                                 lld              lld                 lld                 lld
live gdb-multiarch                            gdb-multiarch    gdb                 gdb                 gdb
live qemu-system-x86_64                       qemu-system-x86  qemu-system-x86     qemu-system-x86     qemu
live qemu-aarch64                             qemu-user        qemu-user           qemu-user           -
live gdbserver                                gdbserver        gdb-gdbserver       gdb                 -
live /usr/bin/lldb-server-14:/usr/bin/lldb-server lldb-14      lldb                lldb                -
live /usr/lib/python3/dist-packages/websockets python3-websockets python3-websockets python-websockets -
live tshark                                   tshark           wireshark-cli       wireshark-cli       wireshark
live /usr/bin/chromium-headless-shell:/usr/bin/chromium:/usr/bin/chromium-browser:/usr/bin/google-chrome \
                                              chromium-headless-shell chromium       chromium            -
'

# install_packages LEVELS
install_packages() {
  local missing
  missing=$(missing_requirements "$1")
  if [[ ! $missing ]]; then
    return
  fi
  if can_install; then
    install_with_apt "$(column 3 "$missing")"
    missing=$(missing_requirements "$1")
  fi
  if [[ $missing ]]; then
    ask_for_packages "$missing"
    exit 1
  fi
}

# The lines of the table for LEVELS whose command or file is not there.
missing_requirements() {
  local level proof packages
  # Without -r a backslash joins two lines.
  # shellcheck disable=SC2162
  while read level proof packages; do
    if [[ $level && " $1 " == *" $level "* ]] && ! present "$proof"; then
      printf '%s %s %s\n' "$level" "$proof" "$packages"
    fi
  done <<<"$requirements"
}

present() {
  local files file
  case $1 in
    /*)
      IFS=: read -ra files <<<"$1"
      for file in "${files[@]}"; do
        if compgen -G "$file" >/dev/null; then
          return 0
        fi
      done
      return 1
      ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# column NUMBER LINES: the distinct words of a column, on one line.
column() { awk -v n="$1" '$n != "-" && !seen[$n]++ { printf "%s ", $n }' <<<"$2"; }

can_install() { present apt-get && { ((EUID == 0)) || sudo -n true 2>/dev/null; }; }

as_root() {
  if ((EUID == 0)); then
    env "$@"
  else
    sudo -n env "$@"
  fi
}

# Lists that cannot be read are no reason to stop: often it is a source that has nothing to do with these packages.
install_with_apt() {
  local packages
  read -ra packages <<<"$1"
  step "installing ${packages[*]} (apt-get)" as_root DEBIAN_FRONTEND=noninteractive sh -c '
    apt-get update || echo "apt-get update failed: going on with the lists at hand"
    exec apt-get -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"' sh "${packages[@]}"
}

ask_for_packages() {
  say "missing: $(column 2 "$1")"
  say "they could not be installed from here (that takes apt-get, and root or sudo without a password); please install"
  say "  Debian, Ubuntu:   apt-get install $(column 3 "$1")"
  say "  Fedora:           dnf install $(column 4 "$1")"
  say "  Arch:             pacman -S $(column 5 "$1")"
  say "  macOS, Homebrew:  brew install $(column 6 "$1")"
  say "and, where a package puts a file elsewhere, link it to the place named above"
}
