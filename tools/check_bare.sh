#!/usr/bin/env bash
# Runs `make demo` from a clean clone on a bare Debian: make, g++, python3-venv, python3-dev.
#
#   tools/check_bare.sh [RELEASE] [FOLDER]     as root, with debootstrap
#
# RELEASE is a Debian release (stable; sid has the newest Python). The system is kept in FOLDER,
# or made in a temporary one and removed. pip works there as it does here: its settings, the files
# that they name, and the certificates come along.
set -euo pipefail

release=${1:-stable}
folder=${2:-}
source=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)

command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt install debootstrap"; exit 1; }
[ "$(id -u)" = 0 ] || { echo "debootstrap and chroot need root."; exit 1; }

if [ -z "$folder" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf --one-file-system "$folder"' EXIT
fi
if [ ! -e "$folder/usr/bin/make" ]; then
  debootstrap --variant=minbase --include=make,g++,python3-venv,python3-dev "$release" "$folder" >"$folder.log"
  rm -f "$folder.log"
fi
rm -rf "$folder/da3_ros"
git clone --quiet --no-hardlinks "$source" "$folder/da3_ros"

environment=(PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root)
while IFS= read -r line; do environment+=("$line"); done < \
  <(env | grep -E '^(PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE=|https?_proxy=|no_proxy=)' || true)

# Paths in these variables and in the settings of pip; a local index refers to its neighbours.
settings=$(printf '%s\n' "${environment[@]:2}"; pip config list 2>/dev/null || true)
mapfile -t named < <({ grep -oE "(^|[=' ])/[^' :]+" <<<"$settings" | sed 's/^[^/]//'
  grep -oE "file://[^' ]+" <<<"$settings" | sed 's,^file://,,' | xargs -r dirname; } | sort -u)

export folder
printf '%s\n' "${environment[@]}" >"$folder/root/environment"
# In mount and process spaces of its own: whatever happens, nothing stays mounted or running.
unshare --mount --pid --fork bash -s -- /etc/pip.conf /etc/xdg/pip "${named[@]}" <<'INSIDE'
set -euo pipefail
mount -t proc proc "$folder/proc"
mount --rbind /dev "$folder/dev"
cp -L /etc/resolv.conf "$folder/etc/resolv.conf"
for path in "$@"; do
  [ -e "$path" ] || continue
  if [ -d "$path" ]; then mkdir -p "$folder$path"; else mkdir -p "$(dirname "$folder$path")"; touch "$folder$path"; fi
  mount --bind "$path" "$folder$path"
done
mapfile -t environment <"$folder/root/environment"
exec chroot "$folder" env -i "${environment[@]}" bash -c \
  'cd /da3_ros && python3 --version && ! command -v cmake && time make demo'
INSIDE
