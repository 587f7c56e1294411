#!/bin/sh
# Rotates one secret from a pipeline: rotate.sh ROTATION RUN-ID
#
# RUN-ID is the job's own id. A job that is repeated under it begins no second run, and gets the answer of the first.
# SALLYPORT is how the command is reached, where it is not in the PATH of this machine, such as
#   SALLYPORT="ssh sallyport@gate sallyport"
#   SALLYPORT="kubectl exec deploy/sallyport -- sallyport"
#   SALLYPORT="docker compose exec -T sallyport sallyport"
# TIMEOUT is how long one attempt follows the run (default 10m), ATTEMPTS how many there are (default 3).
set -u
rotation=${1:?usage: rotate.sh ROTATION RUN-ID}
id=${2:?usage: rotate.sh ROTATION RUN-ID}
sallyport=${SALLYPORT:-sallyport}

attempt=0
while :; do
    attempt=$((attempt + 1))
    # shellcheck disable=SC2086 # several words are meant
    $sallyport rotate "$rotation" --run "$id" --timeout "${TIMEOUT:-10m}"
    code=$?
    case $code in
    0) exit 0 ;;
    10 | 11 | 13) # a store is away, another process is at it, a replica has not confirmed: the run goes on by itself
        [ "$attempt" -lt "${ATTEMPTS:-3}" ] || exit $code
        sleep "${PAUSE:-30}" ;;
    14) echo "waits for approval: the lines above have the command for it; then run this job again" >&2; exit $code ;;
    15) echo "taken back: everything is as before; a new job, with another id, tries again" >&2; exit $code ;;
    16) echo "stuck: a person has to look, the lines above say where" >&2; exit $code ;;
    *) exit $code ;;
    esac
done
