#!/bin/sh
# Process 1 of a host, in network, mount, pid, uts and ipc namespaces of its own: gives it a copy-on-write view of this
# machine's files, a home, and an sshd. When this process ends, so does everything in the host, and nothing is left.
#   host.sh NAME ADDRESS KEY.PUB SHARED WHEELS VENV ENVIRONMENT
set -eu
name=$1 address=$2 key=$3 shared=$4 wheels=$5 venv=$6 environment=$7
hostname "$name"

mount -t tmpfs tmpfs /mnt
mkdir /mnt/files /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/files,workdir=/mnt/work /mnt/root
home=/home/host
mkdir -p "/mnt/root$home/.ssh"
cp "$key" "/mnt/root$home/.ssh/authorized_keys"
cd /mnt/root
mkdir -p shared
mount --bind "$shared" shared                       # the one folder that all hosts write to, as if by NFS
mount --rbind /dev dev
mount --rbind /sys sys
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs dev/shm
chmod 1777 dev/shm
mkdir -p tmp/ray && mount -t tmpfs tmpfs tmp/ray    # nothing of a Ray that this machine may run itself
pivot_root . mnt
umount -l /mnt

printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >/etc/hosts
rm -f /etc/resolv.conf && : >/etc/resolv.conf       # no name server: a lookup fails at once, not after 10 s
printf '[global]\nno-index = true\nfind-links = %s\n' "$wheels" >/etc/pip.conf

# whoever logs in is root here: another user could not install into the venv, which is shared copy-on-write
sed -i "s#^root:.*#root:x:0:0::$home:/bin/bash#; /^ubuntu:/d" /etc/passwd
echo "ubuntu:x:0:0::$home:/bin/bash" >>/etc/passwd
mkdir -p /run/sshd
cp /etc/skel/.bashrc "$home"
ln -s "$venv" "$home/venv"                          # as if an earlier `ray up`, or the machine's image, had made it
chmod -R go= "$home"
ssh-keygen -q -t ed25519 -N '' -f /run/host_key
exec /usr/sbin/sshd -D -e -f /dev/null -o HostKey=/run/host_key -o StrictModes=no -o "SetEnv=$environment" \
    -o PermitRootLogin=prohibit-password -o UsePAM=no -o PidFile=none
