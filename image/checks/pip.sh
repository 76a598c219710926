# List what is installed; without a network, installing must fail quickly with a reason.
pip list 2>&1 | grep '^pandas ' >/dev/null
timeout 20 pip install --retries 0 --timeout 5 no-such-package >out 2>&1 && exit 1
grep -Eqi 'resol|connect|network|No matching' out
echo "pip: lists $(pip list 2>/dev/null | tail -n +3 | wc -l) packages, and can't install without a network"
