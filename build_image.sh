#!/bin/bash
# Builds the image milvus-cdc:<branch>-<commit> and tags it :latest.
#
#   bash build_image.sh            ENGINE=podman for another engine than docker
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
engine=${ENGINE:-docker}
command -v "$engine" >/dev/null || {
	printf 'build_image.sh: %s is not installed; set ENGINE to the one that is\n' "$engine" >&2
	exit 1
}
commit=$(git rev-parse --short HEAD)
branch=$(git rev-parse --abbrev-ref HEAD)
[[ $branch == HEAD ]] && branch=detached
# A tag knows letters, digits, "_", "." and "-", and begins with none of the last two.
branch=$(printf '%s' "$branch" | tr -c 'A-Za-z0-9_.-' '-' | sed 's/^[.-]*//' | cut -c1-100)
[[ -n $(git status --porcelain --untracked-files=no) ]] &&
	printf 'build_image.sh: the tree has changes that are not committed\n' >&2

"$engine" build --build-arg "CDC_COMMIT=$commit" \
	-t "milvus-cdc:$branch-$commit" -t milvus-cdc:latest .
printf 'built milvus-cdc:%s-%s and milvus-cdc:latest\n' "$branch" "$commit"
