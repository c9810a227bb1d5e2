#!/bin/bash
# Makes scratch certificates in a folder: a CA, a server and a client of it, and a client of another CA (stranger).
#
# usage: certificates.sh FOLDER      files: {ca,other-ca,server,client,stranger}-{cert,key}.pem
set -euo pipefail
mkdir -p "${1:?the folder is missing}"
cd "$1"
[ ! -s stranger-cert.pem ] || exit 0

authority() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$2" -keyout "$1-key.pem" -out "$1-cert.pem" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}

# leaf NAME AUTHORITY USAGE
leaf() {
  openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout "$1-key.pem" -out "$1.csr" 2>/dev/null
  printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature,keyEncipherment" \
    "extendedKeyUsage=$3" "subjectAltName=DNS:localhost,IP:127.0.0.1" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2-cert.pem" -CAkey "$2-key.pem" -CAcreateserial -days 30 \
    -extfile "$1.ext" -out "$1-cert.pem" 2>/dev/null
  rm -f "$1.csr" "$1.ext"
}

authority ca "scratch CA"
authority other-ca "another CA"
leaf server ca serverAuth
leaf client ca clientAuth
leaf stranger other-ca clientAuth
