#!/usr/bin/env bash
# The peers of bench/archive, out of Maven Central, into the folder $1. Nothing is
# done where they are there already.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
[ "$(cat "$dir/.ok" 2>/dev/null)" = 1 ] && exit 0
rm -rf "$dir"
mkdir -p "$dir/plugins" "$dir/camel-classes"
fetch() {
  cp "$here/$1.xml" "$dir/pom.xml"
  mvn -q -B -f "$dir/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$2"
}
fetch connect "$dir/connect"
fetch iceberg "$dir/plugins/iceberg"
fetch camel "$dir/camel"
javac -cp "$dir/camel/*" -d "$dir/camel-classes" "$here/Archiver.java"
echo 1 >"$dir/.ok"
