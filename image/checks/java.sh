# A JVM starts in a small address space, and prints nothing of its own.
[ -z "$(java -Xshare:auto -version 2>&1 >/dev/null | grep -i 'picked up')" ]
java -version 2>version
echo "java: $(head -1 version)"
