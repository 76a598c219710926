# An ordinary user with a home and a name, who may not become another one, and has no network.
[ "$(id -u)" = 1000 ] && [ "$(whoami)" = user ] && [ "$HOME" = /home/user ] && [ -w "$HOME" ]
[ -z "$(find /usr/bin /usr/sbin /usr/local/bin /usr/libexec -type f -perm /6000 2>/dev/null)" ]
python --version >/dev/null && [ "$(python -c 'print("ü")')" = ü ]
! curl -s --max-time 5 http://192.0.2.1/
echo "user: $(id)"
