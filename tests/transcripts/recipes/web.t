kernel: ../../../build/images/web/vmlinuz
initrd: ../../../build/images/web/initrd.img
disk: ../../../build/images/web/disk.img
append: console=ttyS0 quiet loglevel=3 panic=-1
memory: 192M
await: READY
save: flat
exclude: /run /tmp /etc/machine-id /etc/torpor/host_key /etc/resolv.conf

An nginx and a redis. The page has been asked for once, so that what serves it is in memory.

  $ curl -s localhost/
  awake
  $ redis-cli set recorded yes
  OK
