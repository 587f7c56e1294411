#!/bin/sh
# For cron, on the gate's machine: one run for each day, however often it is begun. cron mails what is printed.
#   17 3 * * 1  sallyport  /etc/sallyport/cron.sh sendgrid
# A `schedule` of the rotation in sallyport.yaml does the same without cron.
set -eu
exec "$(dirname "$0")/rotate.sh" "${1:?usage: cron.sh ROTATION}" "cron-$(date -u +%F)"
