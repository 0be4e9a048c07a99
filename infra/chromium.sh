#!/bin/sh
# Install Debian's Chromium for the tests of the report page. Nothing else needs it, so where it cannot be installed this
# prints a warning and succeeds: those tests are then skipped, with the same advice.
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0
fi
echo "warning: no Chromium here and none could be installed: the tests of the report page in a browser will be skipped." \
  "Get it with \`apt-get install --no-install-recommends chromium\` as root, or put one on PATH." >&2
