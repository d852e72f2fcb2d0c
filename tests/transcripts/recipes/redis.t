kernel: ../../../build/images/redis/vmlinuz
initrd: ../../../build/images/redis/initrd.img
disk: ../../../build/images/redis/disk.img
append: console=ttyS0 quiet loglevel=3 panic=-1
memory: 128M
await: READY
save: flat
exclude: /run /tmp /etc/machine-id /etc/torpor/host_key /etc/resolv.conf

A redis with 50,000 keys in its memory, and a client that counts ticks. One key more says that this was
recorded.

  $ redis-cli get key:49999
  value:49999
  $ redis-cli set recorded yes
  OK
