#!/bin/busybox sh
# The first process of the virtual machine of scripts/vm.sh.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r name; do insmod "/lib/modules/$name"; done </modules

mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /host
mount -t tmpfs rw /rw
mkdir /rw/upper /rw/work /rw/run
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work root /new
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000 run /rw/run
argument() { sed "s/.*cove.$1=\([^ ]*\).*/\1/" /proc/cmdline; }
mount -t ext4 /dev/vda "/new$(argument images)"
mkdir /rw/disk
mount -t ext4 /dev/vdb /rw/disk
mount --bind /rw/disk/project "/new$(argument project)"
mount --bind /rw/disk/tmp /new/tmp
for place in proc sys dev; do mount --move "/$place" "/new/$place"; done
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /new/dev/pts
mount -t tmpfs shm /new/dev/shm
mount -t tmpfs run /new/run
mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
ip link set lo up
mkdir -p /new/run/vm
mount --move /rw/run /new/run/vm
# Not chroot: in one, no user namespace can be made.
exec switch_root /new /bin/bash -c '
    hostname vm
    bash -s </run/vm/command
    status=$?
    sleep 1  # what was printed is still on its way through the serial line
    # qemu ends with 2 * status + 1.
    printf "\\x$(printf %x "$status")" | dd of=/dev/port bs=1 seek=244 2>/dev/null
'
