#!/bin/sh
# Make the bucket for exports unless it is there. `s3.bucket.create` fails on one that is.
set -eu

shell() {
    weed shell -master="${MASTER:-seaweedfs:9333}"
}

if echo "s3.bucket.list" | shell | grep -q "^ *$BUCKET[[:space:]]"; then
    echo "bucket $BUCKET is there"
else
    echo "s3.bucket.create -name $BUCKET" | shell
fi
