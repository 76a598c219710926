#!/bin/bash
# Run a command in a virtual machine with Debian's kernel and control groups of version 2 alone.
#
#   scripts/vm.sh COMMAND [ARGUMENT…]
#
# The machine has this one's programs, read-only below a layer in its memory. Copies of the checkout and of the sandbox
# images are on disks of their own, and so is /tmp: containers need a real file system below them. What the command prints comes out here; its status is this script's. ACCEL=kvm is some ten times as fast where
# that works; by default the processor is emulated, which works everywhere. Made once: .cache/vm.
set -euo pipefail
cd "$(dirname "$0")/.."
PROJECT=$PWD
CACHE=$PROJECT/.cache/vm
ACCEL=${ACCEL:-tcg,thread=multi}
MODULES='virtio_pci virtio_blk 9pnet_virtio 9p ext4 overlay loop'

say() { echo "vm: $*" >&2; }

packages() {
    local missing=()
    command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
    command -v depmod >/dev/null || missing+=(kmod)
    command -v cpio >/dev/null || missing+=(cpio)
    [ ${#missing[@]} = 0 ] && return
    say "installing ${missing[*]}"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Debian's kernel and a static busybox, unpacked and not installed.
kernel() {
    [ -e "$CACHE/kernel.done" ] && return
    say "fetching a kernel"
    local place package
    place=$(mktemp -d)
    chmod 755 "$place"
    package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2 }')
    (cd "$place" && apt-get download -q "$package" busybox-static >/dev/null 2>&1)
    rm -rf "$CACHE/kernel"
    mkdir -p "$CACHE/kernel"
    for package in "$place"/*.deb; do dpkg -x "$package" "$CACHE/kernel"; done
    rm -r "$place"
    depmod -b "$CACHE/kernel" "$(ls "$CACHE/kernel/lib/modules")"
    touch "$CACHE/kernel.done"
}

# What the kernel starts: it loads modules, puts the file systems together and runs the command.
initramfs() {
    local version root
    version=$(ls "$CACHE/kernel/lib/modules")
    root=$(mktemp -d)
    mkdir -p "$root"/{bin,dev,proc,sys,host,rw,new} "$root/lib/modules"
    cp "$CACHE/kernel/bin/busybox" "$root/bin/"
    for name in $MODULES; do
        modprobe -d "$CACHE/kernel" -S "$version" --show-depends "$name"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$root/modules"
    while read -r path; do cp "$path" "$root/lib/modules/"; done <"$root/modules"
    sed -i 's|.*/||' "$root/modules"
    install -m 755 scripts/vm-init.sh "$root/init"
    (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$CACHE/initramfs"
    rm -r "$root"
}

# The machine's sandbox images as a disk, made again when they have changed.
images() {
    local directory state
    directory=$(.venv/bin/python -c 'from codecove.settings import Settings; print(Settings().image_dir)')
    state=$(find "$directory" -maxdepth 1 -printf '%P %T@\n' | sort)
    IMAGES=$directory
    [ "$(cat "$CACHE/images.state" 2>/dev/null)" = "$state" ] && return
    say "making a disk of the images"
    rm -f "$CACHE/images.ext4"
    mkfs.ext4 -q -q -m 0 -d "$directory" "$CACHE/images.ext4" "$(($(du -sm "$directory" | cut -f1) * 3 / 2 + 2000))M" >/dev/null
    echo "$state" >"$CACHE/images.state"
}

main() {
    [ $# -gt 0 ] || { sed -n 's/^# \{0,1\}//; 2,10p' "$0" >&2; exit 2; }
    mkdir -p "$CACHE"
    packages
    kernel
    images
    initramfs
    local run status=0
    run=$(mktemp -d)
    trap 'rm -rf "$run"' EXIT
    # A copy of the checkout: what is changed here meanwhile must not change there.
    mkdir -m 1777 "$run/disk" "$run/disk/tmp"
    mkdir "$run/disk/project"
    tar --exclude=./.cache -cf - . | tar -xf - -C "$run/disk/project"
    mkfs.ext4 -q -q -E lazy_itable_init=1,lazy_journal_init=1 -d "$run/disk" "$run/scratch.ext4" 20G >/dev/null
    rm -r "$run/disk"
    {
        printf 'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8\n'
        printf 'cd %q && exec' "$PROJECT"
        printf ' %q' "$@"
        printf '\n'
    } >"$run/command"
    chmod 755 "$run"
    qemu-system-x86_64 -accel "$ACCEL" -cpu max -smp 2 -m 4G -nographic -no-reboot -nic none \
        -kernel "$CACHE"/kernel/boot/vmlinuz-* -initrd "$CACHE/initramfs" \
        -append "console=ttyS0 panic=-1 quiet mitigations=off cove.images=$IMAGES cove.project=$PROJECT" \
        -virtfs local,path=/,mount_tag=host,security_model=passthrough,readonly=on,multidevs=remap \
        -virtfs "local,path=$run,mount_tag=run,security_model=passthrough,readonly=on" \
        -drive "file=$CACHE/images.ext4,format=raw,if=virtio,snapshot=on" \
        -drive "file=$run/scratch.ext4,format=raw,if=virtio" \
        -device isa-debug-exit,iobase=0xf4,iosize=0x04 </dev/null || status=$?
    # The machine ends by writing its status there: the program ends with twice that and one, and otherwise it broke.
    [ $((status % 2)) = 1 ] || { say "the virtual machine broke down"; exit 125; }
    exit $((status / 2))
}

main "$@"
