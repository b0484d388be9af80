#!/bin/sh
# fetch.sh postfix  - unpack Debian's Postfix into a private root, $RIG_PREFIX/postfix
#
# Nothing is installed on this machine: apt resolves the packages against an
# empty status file (so the whole dependency closure is downloaded into a
# private cache), and each package is only unpacked, its scripts never run.
# PEER is postfix.
set -eu
PREFIX=${RIG_PREFIX:?}
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

adduser_in() { # root name uid
	echo "$2:x:$3:" >>"$1/etc/group"
	echo "$2:x:$3:$3::/nonexistent:/usr/sbin/nologin" >>"$1/etc/passwd"
}

for peer in "$@"; do
	case $peer in
	postfix)  want="postfix postfix-pcre postfix-lmdb postfix-cdb" ;;
	*) echo "fetch.sh: unknown peer $peer" >&2; exit 2 ;;
	esac
	root=$PREFIX/$peer
	[ -e "$root/.complete" ] && { echo "$root is there already"; continue; }
	rm -rf "$root"
	mkdir -p "$PREFIX/cache/partial" "$root"
	: >"$PREFIX/cache/status"
	want="$want dash coreutils sed grep findutils libc-bin"
	apt="apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=600
		-o Debug::NoLocking=true -o Dir::State::status=$PREFIX/cache/status
		-o Dir::Cache::archives=$PREFIX/cache"
	# The list first: once downloaded, apt no longer prints a package's address.
	list=$(rm -f "$PREFIX"/cache/*.deb
		$apt --print-uris install $want | sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p")
	$apt --download-only install $want >"$PREFIX/cache/log" 2>&1 ||
		{ tail -5 "$PREFIX/cache/log" >&2; exit 1; }

	(cd "$root" && mkdir -p usr/bin usr/sbin usr/lib usr/lib64 dev proc tmp etc var/tmp run &&
		ln -s usr/bin bin && ln -s usr/sbin sbin && ln -s usr/lib lib && ln -s usr/lib64 lib64 &&
		ln -s ../run var/run && chmod 1777 tmp var/tmp)
	for deb in $list; do
		dpkg-deb --fsys-tarfile "$PREFIX/cache/$deb" |
			tar -x --keep-directory-symlink -C "$root"
	done

	mknod -m 666 "$root/dev/null" c 1 3
	mknod -m 666 "$root/dev/zero" c 1 5
	mknod -m 666 "$root/dev/urandom" c 1 9
	mknod -m 666 "$root/dev/random" c 1 8
	echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
	echo 'root:x:0:' >"$root/etc/group"
	adduser_in "$root" nobody 65534
	adduser_in "$root" mail 8
	adduser_in "$root" postfix 40101; adduser_in "$root" postdrop 40102
	# No DNS anywhere: names come from this file only.
	echo '127.0.0.1 rig.example rig localhost' >"$root/etc/hosts"
	echo 'hosts: files' >"$root/etc/nsswitch.conf"
	: >"$root/etc/resolv.conf"
	echo rig.example >"$root/etc/hostname"
	echo rig.example >"$root/etc/mailname"
	: >"$root/etc/aliases"
	echo "$list" >"$root/.complete"
	echo "$root: $(ls "$root/usr/sbin" | wc -l) programs, $(du -sm "$root" | cut -f1) MB"
done
