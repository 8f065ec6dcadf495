#!/bin/sh
# Writes PREFIX/share/sbom.spdx.json, SPDX 2.3: every Debian package of this root, and what PREFIX/share/components.tsv
# names (name, version, SHA-256 of the file or commit).
set -eu
prefix=${1:?PREFIX}
out=$prefix/share/sbom.spdx.json
name=$(head -n 1 "$prefix/share/components.tsv" | tr '\t' '-')
packages=$(mktemp)
dpkg-query -W -f='${Package}\t${Version}\t${Architecture}\n' | sort |
  awk -F '\t' '{ printf "{\"SPDXID\":\"SPDXRef-deb-%s\",\"name\":\"%s\",\"versionInfo\":\"%s\",\"downloadLocation\":\"NOASSERTION\",\"filesAnalyzed\":false,\"externalRefs\":[{\"referenceCategory\":\"PACKAGE-MANAGER\",\"referenceType\":\"purl\",\"referenceLocator\":\"pkg:deb/debian/%s@%s?arch=%s\"}]},\n", id($1), $1, $2, purl($1), purl($2), $3 }
    function id(s) { gsub(/[^A-Za-z0-9.-]/, "-", s); return s }
    function purl(s) { gsub(/\+/, "%2B", s); gsub(/:/, "%3A", s); return s }' >"$packages"
awk -F '\t' 'NR == 1 { printf "{\"SPDXID\":\"SPDXRef-lamella\",\"name\":\"%s\",\"versionInfo\":\"%s\",\"sourceInfo\":\"commit %s\",\"downloadLocation\":\"NOASSERTION\",\"licenseDeclared\":\"Apache-2.0\",\"filesAnalyzed\":false}", $1, $2, $3; next }
    { printf ",\n{\"SPDXID\":\"SPDXRef-pypi-%s\",\"name\":\"%s\",\"versionInfo\":\"%s\",\"downloadLocation\":\"NOASSERTION\",\"filesAnalyzed\":false,\"checksums\":[{\"algorithm\":\"SHA256\",\"checksumValue\":\"%s\"}],\"externalRefs\":[{\"referenceCategory\":\"PACKAGE-MANAGER\",\"referenceType\":\"purl\",\"referenceLocator\":\"pkg:pypi/%s@%s\"}]}", $1, $1, $2, $3, $1, $2 }' \
  "$prefix/share/components.tsv" >>"$packages"
{
  printf '{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"%s",' "$name"
  printf '"documentNamespace":"urn:lamella:sbom:%s","creationInfo":{"created":"%s","creators":["Tool: scripts/image/sbom.sh"]},' \
    "$name" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  printf '"documentDescribes":["SPDXRef-lamella"],"packages":[\n'
  cat "$packages"
  printf '\n]}\n'
} >"$out"
rm "$packages"
