#!/usr/bin/env bash
# Fetch an archive and unpack it:
#
#   download.sh URL CHECKSUM FOLDER
#
# A download that broke off goes on where it was; nothing is unpacked before its checksum (MD5 or SHA-256, by length) is
# right; what was unpacked is marked by FOLDER/.<archive>.done and not fetched again. The archive is deleted afterwards.
set -euo pipefail

fail() {
  printf 'download.sh: %s\n' "$*" >&2
  exit 1
}

(($# == 3)) || fail "expected URL CHECKSUM FOLDER, got '$*'"
url=$1 checksum=$2 folder=$3
name=${url##*/}
mark=$folder/.$name.done
[[ ! -e $mark ]] || exit 0
mkdir -p "$folder"
part=$folder/$name.part

case ${#checksum} in
  32) sum=md5sum ;;
  64) sum=sha256sum ;;
  *) fail "$checksum: expected 32 (MD5) or 64 (SHA-256) hexadecimal digits" ;;
esac
right() { [[ -s $part && $($sum <"$part") == "$checksum "* ]]; }

if ! right; then # a whole file cannot be continued
  echo "  $url"
  curl --fail --location --retry 3 --continue-at - --output "$part" "$url" ||
    fail "$url did not come; run the same again to go on where it stopped, or fetch it yourself and give --corpus"
fi
right || {
  rm -f "$part"
  fail "$url: expected $sum $checksum, got another; deleted, run the same again"
}
tar -xf "$part" -C "$folder" || fail "$part: cannot be unpacked into $folder; is the disk full?"
touch "$mark"
rm -f "$part"
