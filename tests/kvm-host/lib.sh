# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the scripts around the emulated KVM host share: messages, the cache, the distribution's
# kernel and the making of initial RAM file systems. To be sourced.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
	say "$*"
	exit 125
}

# cache_dir: prints the directory that keeps what is downloaded or built once, and makes it.
cache_dir() {
	local dir="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vireo"
	mkdir -p "$dir"
	printf '%s\n' "$dir"
}

# need PROGRAM PACKAGE: stops with the package's name where the program is missing.
need() {
	command -v "$1" >/dev/null || die "$1 is missing; on Debian: apt-get install $2"
}

# kernel_dir [FLAVOUR]: prints the directory of an unpacked distribution kernel: boot/vmlinuz-VERSION
# and lib/modules/VERSION. The first call downloads the package; nothing is installed. FLAVOUR is
# cloud-amd64, which is small and has no graphics, unless it is amd64.
kernel_dir() {
	local flavour=${1-cloud-amd64} cache package staging
	local name="linux-image-*[0-9]-$flavour"
	cache="$(cache_dir)/kernel"
	mkdir -p "$cache"
	(
		flock 9
		if ! compgen -G "$cache/$name/ready" >/dev/null; then
			need depmod kmod
			package=$(apt-cache depends "linux-image-$flavour" 2>/dev/null |
				awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }')
			[ -n "$package" ] ||
				die "apt knows no linux-image-$flavour; on Debian: apt-get update"
			say "downloading the kernel package $package once, into $cache"
			staging=$(mktemp -d "$cache/staging.XXXXXX")
			(cd "$staging" && apt-get -q -o APT::Sandbox::User=root download "$package" >&2) ||
				die "cannot download $package"
			dpkg-deb -x "$staging"/*.deb "$staging/root"
			depmod -b "$staging/root" "$(basename "$staging"/root/lib/modules/*)"
			touch "$staging/root/ready"
			mv "$staging/root" "$cache/$package"
			rm -rf "$staging"
		fi
	) 9>"$cache/lock"
	compgen -G "$cache/$name/" | sort -V | tail -n 1 | sed 's,/$,,'
}

# kernel_version DIR: prints the release of the kernel in a directory made by kernel_dir.
kernel_version() { basename "$1"/lib/modules/*; }

# module_files DIR NAME...: prints the paths, relative to DIR, of the modules and of all that they
# need, in the order in which to load them. A module built into the kernel prints nothing.
module_files() {
	local dir=$1 name
	local -r version=$(kernel_version "$dir")
	shift
	for name in "$@"; do
		modprobe -d "$dir" -S "$version" --show-depends "$name" ||
			die "the kernel in $dir has no module $name"
	done | awk -v dir="$dir/" '$1 == "insmod" && !seen[$2]++ { print substr($2, length(dir) + 1) }'
}

# busybox_root DIR: fills DIR with busybox, a link for each of its applets and the usual directories.
busybox_root() {
	local applet
	need busybox busybox-static
	mkdir -p "$1"/{bin,dev,etc,lib/modules,mnt,proc,root,run,sys,tmp}
	cp "$(command -v busybox)" "$1/bin/busybox"
	"$1/bin/busybox" --list | while read -r applet; do
		[ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
	done
	# The kernel looks for its module loader in /sbin.
	ln -s bin "$1/sbin"
}

# initramfs OUTPUT ROOT INIT DIR MODULE...: turns the directory ROOT into an initial RAM file system
# with the script INIT as /init and the modules from DIR, listed in /modules in the order in which
# INIT is to load them.
initramfs() {
	local output=$1 root=$2 init=$3 dir=$4 file
	shift 4
	need cpio cpio
	install -m 755 "$init" "$root/init"
	: >"$root/modules"
	module_files "$dir" "$@" | while read -r file; do
		cp "$dir/$file" "$root/lib/modules/"
		printf '/lib/modules/%s\n' "$(basename "$file")" >>"$root/modules"
	done
	(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$output"
}

# grub_disk IMAGE CONFIG ESP ROOT MODULE...: makes IMAGE, a disk with an MBR, an EFI system partition of
# ESP MiB from the first MiB on and, unless ROOT is 0, a Linux partition of ROOT MiB behind that. The
# distribution's GRUB, for UEFI and for BIOS, does what the file CONFIG says, with MODULEs for that.
grub_disk() {
	local image=$1 config=$2 esp=$3 root=$4 work
	local -a modules=(part_msdos fat normal linux serial terminal echo search "${@:5}")
	need sfdisk fdisk
	need grub-mkimage grub-common
	need mformat mtools
	[ -e /usr/lib/grub/x86_64-efi/linux.mod ] || need grub-efi-amd64-bin grub-efi-amd64-bin
	[ -e /usr/lib/grub/i386-pc/linux.mod ] || need grub-pc-bin grub-pc-bin
	work=$(mktemp -d)
	grub-mkimage -O x86_64-efi -p /grub -c "$config" -o "$work/BOOTX64.EFI" "${modules[@]}"
	grub-mkimage -O i386-pc -p /grub -c "$config" -o "$work/core.img" biosdisk "${modules[@]}"
	[ "$(stat -c %s "$work/core.img")" -le $((2047 * 512)) ] || die "GRUB is too large"

	# Sectors: 0 boot code and table, from 1 on GRUB's core, from 2048 on the partitions.
	rm -f "$image"
	truncate -s $((esp + root + 1))M "$image"
	{
		echo 'label: dos'
		echo "start=2048, size=${esp}MiB, type=ef, bootable"
		[ "$root" = 0 ] || echo 'type=83'
	} | sfdisk -q "$image"
	dd if=/usr/lib/grub/i386-pc/boot.img of="$image" bs=440 count=1 conv=notrunc status=none
	dd if="$work/core.img" of="$image" bs=512 seek=1 conv=notrunc status=none

	export MTOOLS_SKIP_CHECK=1
	mformat -i "$image@@1M" -T $((esp * 2048)) -h 64 -s 32 -v VIREO ::
	mmd -i "$image@@1M" ::/EFI ::/EFI/BOOT
	mcopy -i "$image@@1M" "$work/BOOTX64.EFI" ::/EFI/BOOT/BOOTX64.EFI
	rm -rf "$work"
}
