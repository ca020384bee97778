# Node, the node modules and the build.

readonly program=dist/src/cli/main.js

check_node() {
  local version major minor
  version=$(node --version 2>/dev/null) || die "node was not found: install Node 20.19 or newer"
  IFS=. read -r major minor _ <<<"${version#v}"
  if ((major < 20 || (major == 20 && minor < 19))); then
    die "Node 20.19 or newer is needed, and this is $version: install a newer one"
  fi
}

# The copy of the lock file tells which modules these are. npm ci begins by deleting node_modules, and the copy with it,
# so an interrupted one leaves none.
install_modules() {
  local installed=node_modules/.installed-package-lock.json
  if ! cmp -s package-lock.json "$installed"; then
    # The compiler is a development dependency, which NODE_ENV=production would leave out.
    step "installing the node modules (npm ci)" install_from_lock
    cp package-lock.json "$installed"
  fi
}

# npm 10 can end with 0 and nothing installed when the registry cannot be reached.
install_from_lock() {
  npm ci --include=dev --no-audit --no-fund || return
  local tool
  for tool in tsc vitest biome tsx; do
    [[ -e node_modules/.bin/$tool ]] && continue
    echo "npm ci ended without an error, but $tool is not there: is the package registry reachable?" >&2
    return 1
  done
}

build() {
  if ! built; then
    rm -rf dist
    mkdir dist
    # Dated before the compiler reads, so that a source edited meanwhile is newer.
    touch dist/.started
    step "compiling (npm run build)" npm run build
    chmod +x "$program"
    mv dist/.started dist/.built
  fi
  # npx finds a checkout's own program without the link too, but goes through its download cache to run it.
  ln -sfn "../../$program" node_modules/.bin/ebscope
}

# Directories count as well: one becomes newer when a source in it is deleted.
built() {
  [[ -e dist/.built && -x $program ]] &&
    [[ -z $(find src symbols tsconfig*.json package.json -newer dist/.built -print -quit) ]]
}
