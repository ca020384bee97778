# What the live tests run besides the system's own QEMU, each in its folder of .cache/.

readonly cached='guests/linux guests/xen qemu-10.0 aavmf-2025'

install_guests() {
  local item missing=''
  for item in $cached; do
    # scripts/fetch puts a folder there only when it is complete.
    [[ -e .cache/$item/version ]] || missing+=" $item"
  done
  if [[ ! $missing ]]; then
    return
  fi
  if ! on_debian_12; then
    say "missing in .cache/:$missing"
    die "they come from the packages of Debian 12: run this level there (a container will do)"
  fi
  step "reading the package lists for .cache/" bash scripts/fetch lists "$scratch/apt"
  for item in $missing; do
    step "fetching $item" bash scripts/fetch "$item" "$scratch/apt"
  done
}

on_debian_12() { (. /etc/os-release && [[ $ID == debian && $VERSION_ID == 12 ]]) 2>/dev/null && present apt-get; }
