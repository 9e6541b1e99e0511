#!/bin/sh
# A correction made by Recount, as 1 transactions for DynamoDB. Run it with sh and the AWS command line, version 2.
#
# Plan        5cb1c8cb75ecebf244e01db353c6308bc365b23451c706fcda74945b71bc3c86
# calculation revenue, window [2024-06-10T12:00:00Z, 2024-06-10T13:00:00Z) (by event)
# table       revenue: 1 updates, 1 inserts, 1 deletes
# made for    sqlite live.db
# made        2024-06-10T13:00:00Z by alice, expires 2024-06-11T13:00:00Z
# mind        table revenue: trigger "audit" runs for the rows that are written
#
# checks      expiry; each item must still hold its before-image, and a new one must not be there; a call that fails ends the script
# lost        compared with recount apply: it is not all or nothing: each call of up to 100 items is, the calls are not (1 here);
#             no ledger: recount runs and rollback know nothing of it, and nothing stops a second run but the before-images;
#             no undo: keep this file and the plan, the before-images stand in both; nothing is read back;
#             no check that this is the account, the region or the table that was exported: look at `aws sts get-caller-identity` first
# types       int64, decimal and double are N, bool is BOOL, all others S; NULL is an attribute that is not there (one of type NULL is taken for it)
# stopped?    sh FILE NUMBER goes on with that transaction; begun again within ten minutes, a call that was carried out is not carried out twice
set -eu
from=${1:-1}
if [ "$(date -u +%Y%m%d%H%M%S)" -ge 20240611130000 ]; then echo 'recount: the plan has expired: plan again' >&2; exit 12; fi
transact() {
  if [ "$1" -lt "$from" ]; then return 0; fi
  if ! aws dynamodb transact-write-items --client-request-token "$2" --transact-items "$3"; then
    echo "recount: stopped at transaction $1 of 1: those before it are written. If an item moved, nothing of this one is written: plan again" >&2
    exit 10
  fi
}
transact 1 5cb1c8cb75ecebf244e01db353c6-0000001 '[{"Delete":{"TableName":"revenue","Key":{"hour":{"S":"2024-06-10T12:00:00Z"},"product":{"S":"pear"}},"ConditionExpression":"attribute_exists(#k0) AND #c0 = :b0","ExpressionAttributeNames":{"#c0":"total","#k0":"hour"},"ExpressionAttributeValues":{":b0":{"N":"2.00"}}}},{"Update":{"TableName":"revenue","Key":{"hour":{"S":"2024-06-10T12:00:00Z"},"product":{"S":"apple"}},"UpdateExpression":"SET #c0 = :a0","ConditionExpression":"attribute_exists(#k0) AND #c0 = :b0","ExpressionAttributeNames":{"#c0":"total","#k0":"hour"},"ExpressionAttributeValues":{":a0":{"N":"11.50"},":b0":{"N":"9.00"}}}},{"Put":{"TableName":"revenue","Item":{"hour":{"S":"2024-06-10T12:00:00Z"},"product":{"S":"o'\''neil"},"total":{"N":"4.00"}},"ConditionExpression":"attribute_not_exists(#k0)","ExpressionAttributeNames":{"#k0":"hour"}}}]'
echo 'recount: 3 items in 1 transactions are written'
