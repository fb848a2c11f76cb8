#!/bin/sh
# Fetches a real image, if it is not there: a still of lysozyme on the CSPAD detector of CXI at LCLS, of 2013-11-06, that
# CBFlib (https://github.com/yayahjb/cbflib; GPL, or LGPL) has for its tests; out of Debian's source package.
#   fetch_frame.sh FOLDER
set -eu
mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
cd "$1"
[ -f frame.cbf ] && exit
sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources > debian.sources
private="-o Dir::Etc::sourcelist=$PWD/debian.sources -o Dir::Etc::sourceparts=- -o Dir::State::lists=$PWD/lists
    -o Dir::Cache=$PWD/cache"
# shellcheck disable=SC2086 # these are several options
apt-get -qq $private update
# shellcheck disable=SC2086
apt-get -qq $private source --download-only cbflib || true # all but the archive wanted here may be gone from the mirror
tar -xf cbflib_*.orig.tar.* --wildcards --strip-components=1 '*/idx-s00-20131106040304531.cbf'
echo 'c1b205d77338b9538038bdbb683cdbb01db938e9ec0d67a65c362a72b0dc4815  idx-s00-20131106040304531.cbf' | sha256sum -c -
mv idx-s00-20131106040304531.cbf frame.cbf
