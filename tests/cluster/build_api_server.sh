#!/usr/bin/env bash
# kube-apiserver and etcd from Debian 12's packages alone: the source of Kubernetes 1.20, its Go, etcd. Some ten minutes on two cores and
# 2 GB while it builds; nothing is installed.
#
#   build_api_server.sh FOLDER      the programs lie in FOLDER/bin
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
version=1.20.2 work=$folder/work
mkdir -p "$folder/bin" "$work"/{apt/lists/partial,apt/cache/archives/partial,debs,home,tools}
cd "$work"

mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources | head -1)
signed='signed-by=/usr/share/keyrings/debian-archive-keyring.gpg'
printf 'deb [%s] %s bookworm main\ndeb-src [%s] %s bookworm main\n' "$signed" "$mirror" "$signed" "$mirror" > apt/sources.list
apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root "$@"
}
apt update
apt source --download-only kubernetes
(cd debs && apt download golang-1.19-go golang-1.19-src etcd-server && for deb in *.deb; do dpkg-deb -x "$deb" .; done)
cp debs/usr/bin/etcd "$folder/bin/"
ln -sfn "$work/debs/usr/share/go-1.19/src" debs/usr/lib/go-1.19/src
mkdir -p source && tar xzf kubernetes_*.orig.tar.gz -C source --strip-components 1
printf '#!/bin/sh\ncp -p "$2" "$3"\n' > tools/rsync && chmod +x tools/rsync  # all that its build asks of rsync

cat > version <<END
KUBE_GIT_COMMIT=debian
KUBE_GIT_TREE_STATE=archive
KUBE_GIT_VERSION=v$version
KUBE_GIT_MAJOR=1
KUBE_GIT_MINOR=20
END
export GOROOT=$work/debs/usr/lib/go-1.19 PATH=$work/tools:$work/debs/usr/lib/go-1.19/bin:$PATH GOCACHE=$work/cache HOME=$work/home
export CGO_ENABLED=0 GO111MODULE=off GOLDFLAGS="-s -w" KUBE_GIT_VERSION_FILE=$work/version
export GOFLAGS=-tags=providerless  # clouds are not asked
unset GOPATH
make -C source WHAT=cmd/kube-apiserver
cp source/_output/bin/kube-apiserver "$folder/bin/"
rm -rf "$work"
