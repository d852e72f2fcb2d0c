#compdef torpor
# zsh completion for torpor
local -a _torpor_verbs arguments
# From the tables of verbs, by UPDATE_GOLDEN=1 of the unit tests:
_torpor_verbs=(
	'build:write an appliance from a container image, or from kernel, initrd and disks'
	'run:boot a machine, from a cold appliance FILE, a container image or --kernel'
	'resume:wake a live appliance; a paused machine NAME goes on'
	'clone:start machines from a live appliance, or from a machine that goes on'
	'save:write a running machine into one file, a live appliance, and end it'
	'move:move a running machine to another host\: -- ssh HOST torpor receive'
	'receive:take a machine over from torpor move, on standard input and output'
	'ps:list running machines'
	'events:print what happens to machines, a line for each event'
	'stats:what machines cost, and how much of their memory has been paged in'
	'update:change the limits of machines while they run'
	'balloon:take SIZE of memory from a guest until it is told otherwise, or show it'
	'port:the published ports of a machine'
	'pause:stop running machines where they are; their clocks stand still'
	'unpause:let paused machines go on'
	'reset:take machines of resume --golden back to the state of their files'
	'stop:ask guests to switch themselves off, then kill'
	'kill:end machines at once, as if the power failed'
	'rm:remove the logs and records of machines that are over'
	'wait:wait until a machine is over, print how it ended; or until it is ready'
	'logs:print what a machine'\''s guest has written to its consoles'
	'console:type at a running machine and see its output; ~. leaves'
	'exec:run a command in the guest of a running machine'
	'cp:copy files and folders out of the guest of a running machine, or into it'
	'inspect:describe a machine or an appliance, or draw where its bytes are'
	'ls:list what is in an appliance\: roles, encodings, sizes, frames'
	'extract:write contents of an appliance as plain files'
	'verify:check every digest in an appliance, and who signed it'
	'convert:write an appliance again, its images flat or packed'
	'flatten:merge an increment and the files it stands on into one full file'
	'tree:show which appliances stand on which\: those in the store, and FILEs'
	'keygen:make a key pair to sign appliances with'
	'sign:put a signature into an appliance'
	'push:put an appliance into a registry'
	'pull:fetch an appliance from a registry into the store'
	'login:log in to a registry, or a web server'
	'logout:forget the credentials for a registry'
	'images:list the images in the store'
	'tag:give an image in the store one more name, or a file its first one there'
	'serve:let registry clients and browsers fetch appliances from here, read-only'
	'rmi:take names from images in the store'
	'gc:remove pulled images that have no name, what was half fetched, and root disks of no use'
	'volume:data disks with a name, which machines have by --volume NAME'
	'disk:raw files that are disks, for --disk'
	'compat:say whether this host can run an appliance, and what it lacks'
	'lan:virtual LANs, which machines join with --net lan=NAME'
	'warm:wake a clone, see what it touches first, and put that in front of the file'
	'test:run transcripts, each against a fresh machine from a golden'
	'golden:make live appliances for tests from recipes, and compare what is in them'
	'doctor:say what this host can do, and what to do about what it cannot'
	'version:print the versions of program, file format and machine types'
	'help:list the verbs, or explain one'
)
_torpor_verb()
{
	case $1 in
	build) arguments=(
		'--help[explain it]'
		'*-o+[the appliance to write, - for standard output; required]:FILE:_files'
		'*--output=[the appliance to write, - for standard output; required]:FILE:_files'
		'*--live[boot it, wait until it is ready, and write it as it runs\: a live appliance]'
		'*--ready=[of --live\: when that is true; repeatable]:text\:TEXT|port\:N|exec\:CMD:_torpor_choices text\: port\: exec\:'
		'*--ready-timeout=[of --live\: wait for that no longer; default 600]:SECONDS: '
		'*--warm=[of --live\: watch so long what a clone touches first; 0\: not; default 5]:SECONDS: '
		'*--encrypt[encrypt it with a new passphrase, or --key-file]'
		'*--key-file=[key file of the encrypted appliance]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*--kernel=[kernel\: a bzImage, or an ELF with a PVH note]:FILE:_files'
		'*--initrd=[initial RAM disk]:FILE:_files'
		'*--append=[kernel command line]:TEXT: '
		'*--disk=[disk from raw file or device F, which only rw writes to; X=F is F,id=X; repeatable]:F\[,rw|ro|scratch\]\[,direct\]\[,id=X\]\[,share=no\]:_torpor_choices  ro scratch]'
		'*--volume=[disk from the volume NAME, made with ext4 if it is not there; repeatable]:NAME\[\:SIZE\]\[,id=X\]: '
		'*--disk-iops=[at most N requests a second to each disk, or to disk X; repeatable]:\[X=\]N: '
		'*--disk-bps=[at most SIZE bytes a second, read or written; repeatable]:\[X=\]SIZE: '
		'*-m+[memory, such as 512M or 2G, in MiB without a letter; default 256M]:SIZE: '
		'*--memory=[memory, such as 512M or 2G, in MiB without a letter; default 256M]:SIZE: '
		'*-c+[virtual CPUs, 1 to 64; default 1]:N: '
		'*--vcpus=[virtual CPUs, 1 to 64; default 1]:N: '
		'*--cpu=[CPU that the guest sees; default the best of v1 to v3 that this host has]:v1|v2|v3|host:_torpor_choices v1 v2 v3 host'
		'*--console=[device that gets the keyboard'\''s input; default ttyS0]:ttyS0|hvc0:_torpor_choices ttyS0 hvc0'
		'*--net=[a network card, or none; repeatable; default one]:user|none:_torpor_choices user none'
		'*--mac=[MAC address of the first network card; default a random one for each machine]:ADDRESS: '
		'*--mtu=[MTU of the network cards, 1280 to 65535; default 1500]:BYTES: '
		'*--queues=[queue pairs of each network card, 1 to 4; default 1]:N: '
		'*--from=[make root disk, kernel and initrd from a container image, a folder or a tar file]:SOURCE:_files'
		'*--modules=[of an image with --kernel\: the kernel'\''s modules]:FOLDER:_files -/'
		'*--module=[of an image\: another module that the guest loads; repeatable]:NAME: '
		'*--space=[of an image\: free space on the root disk, up to 32G; default 4G]:SIZE: '
		'*--pull=[of a docker\:// image\: ask its registry always, when it is missing here, or never; default missing for run, always for build]:always|missing|never:_torpor_choices always missing never'
		'*--cacert=[trust the certificates in FILE, and no others]:FILE:_files'
		'*--plain-http[speak http, without encryption, to a registry on another host, too]'
		'*--timeout=[give up a connection that is silent for so long, default 60, and try again]:SECONDS: '
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands files'
		) ;;
	run) arguments=(
		'--help[explain it]'
		'*-d[run in the background and print the name]'
		'*--detach[run in the background and print the name]'
		'*-n+[name of the machine; default a random one]:NAME: '
		'*--name=[name of the machine; default a random one]:NAME: '
		'*--rm[leave no logs and records behind]'
		'*--on-term=[by SIGTERM press the power button, save it to where it woke from, or end it at once]:stop|save|kill:_torpor_choices stop save kill'
		'*--restart=[start it again when it has ended, or failed, up to N times]:no|on-failure\[\:N\]|always:_torpor_choices no on-failure always'
		'*--disks=[what such a save does with disks that are written through]:inside|outside:_torpor_choices inside outside'
		'*--until-closed=[end it when nobody has the other end of PIPE open any more, as /dev/fd/3]:PIPE: '
		'*--kernel=[kernel\: a bzImage, or an ELF with a PVH note]:FILE:_files'
		'*--initrd=[initial RAM disk]:FILE:_files'
		'*--append=[kernel command line]:TEXT: '
		'*--disk=[disk from raw file or device F, which only rw writes to; X=F is F,id=X; repeatable]:F\[,rw|ro|scratch\]\[,direct\]\[,id=X\]\[,share=no\]:_torpor_choices  ro scratch]'
		'*--volume=[disk from the volume NAME, made with ext4 if it is not there; repeatable]:NAME\[\:SIZE\]\[,id=X\]: '
		'*--disk-iops=[at most N requests a second to each disk, or to disk X; repeatable]:\[X=\]N: '
		'*--disk-bps=[at most SIZE bytes a second, read or written; repeatable]:\[X=\]SIZE: '
		'*-m+[memory, such as 512M or 2G, in MiB without a letter; default 256M]:SIZE: '
		'*--memory=[memory, such as 512M or 2G, in MiB without a letter; default 256M]:SIZE: '
		'*-c+[virtual CPUs, 1 to 64; default 1]:N: '
		'*--vcpus=[virtual CPUs, 1 to 64; default 1]:N: '
		'*--cpu=[CPU that the guest sees; default the best of v1 to v3 that this host has]:v1|v2|v3|host:_torpor_choices v1 v2 v3 host'
		'*--console=[device that gets the keyboard'\''s input; default ttyS0]:ttyS0|hvc0:_torpor_choices ttyS0 hvc0'
		'*-v+[share the folder DIR with the guest, at GUEST there; repeatable]:DIR\:GUEST\[\:ro\]: '
		'*--share=[share the folder DIR with the guest, at GUEST there; repeatable]:DIR\:GUEST\[\:ro\]: '
		'*--vsock=[connect the guest'\''s vsock with Unix sockets\: PATH takes connections to it, PATH_PORT gets those of the guest to PORT]:PATH: '
		'*--cpus=[CPU time that its virtual CPUs may use, in CPUs, such as 0.5 or 1.5]:N: '
		'*--cpu-weight=[its share of busy CPUs, 1 to 10000; others have 100]:N: '
		'*--cpuset=[this host'\''s CPUs that it may run on, such as 0-3,8]:LIST: '
		'*--memory-max=[memory of this host that it may take; at more than that the kernel ends it]:SIZE: '
		'*--pids-max=[processes and threads that it may have]:N: '
		'*--net=[what a network card is connected to; repeatable, default user; user,host-loopback also reaches 127.0.0.1 of this host]:user|tap\[=IF\]|lan=NAME|none:_torpor_choices user tap lan= none'
		'*-p+[publish a port of the guest, or ADDR\:HOST\:GUEST on one address; without HOST, or 0, on any free port]:\[HOST\:\]GUEST\[/udp\]: '
		'*--publish=[publish a port of the guest, or ADDR\:HOST\:GUEST on one address; without HOST, or 0, on any free port]:\[HOST\:\]GUEST\[/udp\]: '
		'*--net-pps=[at most N frames a second from each network card, and as many to it]:N: '
		'*--net-bps=[at most SIZE bytes a second from each network card, and as many to it]:SIZE: '
		'*--pcap=[capture the frames of the network card; those of the second into FILE.1, and so on]:FILE:_files'
		'*--mac=[MAC address of the first network card; default a random one for each machine]:ADDRESS: '
		'*--mtu=[MTU of the network cards, 1280 to 65535; default 1500]:BYTES: '
		'*--queues=[queue pairs of each network card, 1 to 4; default 1]:N: '
		'*--key-file=[key file of the encrypted appliance]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*--modules=[of an image with --kernel\: the kernel'\''s modules]:FOLDER:_files -/'
		'*--module=[of an image\: another module that the guest loads; repeatable]:NAME: '
		'*--space=[of an image\: free space on the root disk, up to 32G; default 4G]:SIZE: '
		'*--pull=[of a docker\:// image\: ask its registry always, when it is missing here, or never; default missing for run, always for build]:always|missing|never:_torpor_choices always missing never'
		'*--cacert=[trust the certificates in FILE, and no others]:FILE:_files'
		'*--plain-http[speak http, without encryption, to a registry on another host, too]'
		'*--timeout=[give up a connection that is silent for so long, default 60, and try again]:SECONDS: '
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands images files'
		) ;;
	resume) arguments=(
		'--help[explain it]'
		'*-d[run in the background and print the name]'
		'*--detach[run in the background and print the name]'
		'*--paused[wake it, but do not let it go on before unpause]'
		'*--golden[torpor reset can take it back to the state of the file]'
		'*--on-term=[by SIGTERM press the power button, save it to where it woke from, or end it at once]:stop|save|kill:_torpor_choices stop save kill'
		'*--restart=[start it again when it has ended, or failed, up to N times]:no|on-failure\[\:N\]|always:_torpor_choices no on-failure always'
		'*--disks=[what such a save does with disks that are written through]:inside|outside:_torpor_choices inside outside'
		'*--idle-save=[save it when no connection to -p listen\:PORT was open for so long]:SECONDS: '
		'*--until-closed=[end it when nobody has the other end of PIPE open any more, as /dev/fd/3]:PIPE: '
		'*--rm[leave no logs and records behind]'
		'*--wait-complete[from a registry or web server\: all of it comes first]'
		'*-n+[name of the machine; default the one it was saved under]:NAME: '
		'*--name=[name of the machine; default the one it was saved under]:NAME: '
		'*--fill=[load untouched memory\: never, in the spare time of one core (default), on all cores]:none|idle|full:_torpor_choices none idle full'
		'*--require-signature=[refuse a file that this public key has not signed; `trust`\: any trusted key]:KEY:_files'
		'*--verify=[check every byte of the file, or only if it was not found good before (default)]:full|cached:_torpor_choices full cached'
		'*--unverified[resume without a check of the file]'
		'*--cpus=[CPU time that its virtual CPUs may use, in CPUs, such as 0.5 or 1.5]:N: '
		'*--cpu-weight=[its share of busy CPUs, 1 to 10000; others have 100]:N: '
		'*--cpuset=[this host'\''s CPUs that it may run on, such as 0-3,8]:LIST: '
		'*--memory-max=[memory of this host that it may take; at more than that the kernel ends it]:SIZE: '
		'*--pids-max=[processes and threads that it may have]:N: '
		'*--disk=[disk from raw file or device F, which only rw writes to; X=F is F,id=X; repeatable]:F\[,rw|ro|scratch\]\[,direct\]\[,id=X\]\[,share=no\]:_torpor_choices  ro scratch]'
		'*--volume=[disk from the volume NAME, made with ext4 if it is not there; repeatable]:NAME\[\:SIZE\]\[,id=X\]: '
		'*-v+[DIR is the folder that the guest has at GUEST; none\: it has those no more that are not given; repeatable]:DIR\:GUEST\[\:ro\]|none:_torpor_choices  none'
		'*--share=[DIR is the folder that the guest has at GUEST; none\: it has those no more that are not given; repeatable]:DIR\:GUEST\[\:ro\]|none:_torpor_choices  none'
		'*--vsock=[connect the guest'\''s vsock with Unix sockets\: PATH takes connections to it, PATH_PORT gets those of the guest to PORT]:PATH: '
		'*--disk-iops=[at most N requests a second to each disk, or to disk X; repeatable]:\[X=\]N: '
		'*--disk-bps=[at most SIZE bytes a second, read or written; repeatable]:\[X=\]SIZE: '
		'*--new-identity[new name and MAC addresses; the guest'\''s wake hooks renew the rest]'
		'*--net=[what a network card is connected to; repeatable, default user; user,host-loopback also reaches 127.0.0.1 of this host]:user|tap\[=IF\]|lan=NAME|none:_torpor_choices user tap lan= none'
		'*-p+[publish a port of the guest, or ADDR\:HOST\:GUEST on one address; without HOST, or 0, on any free port]:\[HOST\:\]GUEST\[/udp\]: '
		'*--publish=[publish a port of the guest, or ADDR\:HOST\:GUEST on one address; without HOST, or 0, on any free port]:\[HOST\:\]GUEST\[/udp\]: '
		'*--net-pps=[at most N frames a second from each network card, and as many to it]:N: '
		'*--net-bps=[at most SIZE bytes a second from each network card, and as many to it]:SIZE: '
		'*--pcap=[capture the frames of the network card; those of the second into FILE.1, and so on]:FILE:_files'
		'*--key-file=[key file of the encrypted appliance]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*--cacert=[trust the certificates in FILE, and no others]:FILE:_files'
		'*--plain-http[speak http, without encryption, to a registry on another host, too]'
		'*--timeout=[give up a connection that is silent for so long, default 60, and try again]:SECONDS: '
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands running saved images files'
		) ;;
	clone) arguments=(
		'--help[explain it]'
		'*-c+[how many; default 1]:N: '
		'*--count=[how many; default 1]:N: '
		'*-n+[name of the machine; default the one it was saved under]:NAME: '
		'*--name=[name of the machine; default the one it was saved under]:NAME: '
		'*--fill=[load untouched memory\: never, in the spare time of one core (default), on all cores]:none|idle|full:_torpor_choices none idle full'
		'*--require-signature=[refuse a file that this public key has not signed; `trust`\: any trusted key]:KEY:_files'
		'*--verify=[check every byte of the file, or only if it was not found good before (default)]:full|cached:_torpor_choices full cached'
		'*--unverified[resume without a check of the file]'
		'*--cpus=[CPU time that its virtual CPUs may use, in CPUs, such as 0.5 or 1.5]:N: '
		'*--cpu-weight=[its share of busy CPUs, 1 to 10000; others have 100]:N: '
		'*--cpuset=[this host'\''s CPUs that it may run on, such as 0-3,8]:LIST: '
		'*--memory-max=[memory of this host that it may take; at more than that the kernel ends it]:SIZE: '
		'*--pids-max=[processes and threads that it may have]:N: '
		'*--disk=[disk from raw file or device F, which only rw writes to; X=F is F,id=X; repeatable]:F\[,rw|ro|scratch\]\[,direct\]\[,id=X\]\[,share=no\]:_torpor_choices  ro scratch]'
		'*--volume=[disk from the volume NAME, made with ext4 if it is not there; repeatable]:NAME\[\:SIZE\]\[,id=X\]: '
		'*-v+[DIR is the folder that the guest has at GUEST; none\: it has those no more that are not given; repeatable]:DIR\:GUEST\[\:ro\]|none:_torpor_choices  none'
		'*--share=[DIR is the folder that the guest has at GUEST; none\: it has those no more that are not given; repeatable]:DIR\:GUEST\[\:ro\]|none:_torpor_choices  none'
		'*--vsock=[connect the guest'\''s vsock with Unix sockets\: PATH takes connections to it, PATH_PORT gets those of the guest to PORT]:PATH: '
		'*--disk-iops=[at most N requests a second to each disk, or to disk X; repeatable]:\[X=\]N: '
		'*--disk-bps=[at most SIZE bytes a second, read or written; repeatable]:\[X=\]SIZE: '
		'*--new-identity[new name and MAC addresses; the guest'\''s wake hooks renew the rest]'
		'*--net=[what a network card is connected to; repeatable, default user; user,host-loopback also reaches 127.0.0.1 of this host]:user|tap\[=IF\]|lan=NAME|none:_torpor_choices user tap lan= none'
		'*-p+[publish a port of the guest, or ADDR\:HOST\:GUEST on one address; without HOST, or 0, on any free port]:\[HOST\:\]GUEST\[/udp\]: '
		'*--publish=[publish a port of the guest, or ADDR\:HOST\:GUEST on one address; without HOST, or 0, on any free port]:\[HOST\:\]GUEST\[/udp\]: '
		'*--net-pps=[at most N frames a second from each network card, and as many to it]:N: '
		'*--net-bps=[at most SIZE bytes a second from each network card, and as many to it]:SIZE: '
		'*--pcap=[capture the frames of the network card; those of the second into FILE.1, and so on]:FILE:_files'
		'*--key-file=[key file of the encrypted appliance]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands running saved images files'
		) ;;
	save) arguments=(
		'--help[explain it]'
		'*-o+[file to write, - for standard output; default NAME.torpor in the store]:FILE:_files'
		'*--output=[file to write, - for standard output; default NAME.torpor in the store]:FILE:_files'
		'*--as=[the name it will wake under; default that of the machine]:NAME: '
		'*-R[let the machine go on; it stands still for a moment only]'
		'*--leave-running[let the machine go on; it stands still for a moment only]'
		'*--disks=[of disks that are written through\: what they hold goes into the file, or they stay outside of it]:inside|outside:_torpor_choices inside outside'
		'*--trim[have the guest drop its caches first]'
		'*--flat[do not pack\: a larger file, whose memory is mapped at a resume]'
		'*--level=[zstd level of packing, 1 to 19; default 3]:N: '
		'*--parent=[only what changed since FILE (or NAME, or REF), which it woke from or was last saved to]:FILE:_files'
		'*--full[everything, although the parent is in the store]'
		'*--force[replace another machine'\''s file of that name in the store]'
		'*--encrypt[encrypt it with a new passphrase, or with the machine'\''s key if it has one]'
		'*--decrypt[write it in clear although the machine has a key]'
		'*--key-file=[key file of the encrypted appliance]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*--every=[again and again, as 10m or 1h\: what changed since the last time; off ends one]:TIME|off:_torpor_choices  off'
		'*--keep=[moments of --every that stay, at least; default 6]:N: '
		'*-d[with --every\: in the background once the first file is in place]'
		'*--detach[with --every\: in the background once the first file is in place]'
		'*--json[print JSON]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands running'
		) ;;
	move) arguments=(
		'--help[explain it]'
		'*--trim[have the guest drop its caches first]'
		'*--flat[do not pack\: a larger file, whose memory is mapped at a resume]'
		'*--level=[zstd level of packing, 1 to 19; default 3]:N: '
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands running'
		) ;;
	receive) arguments=(
		'--help[explain it]'
		'*--paused[do not let it go on before unpause]'
		'*-n+[name of the machine; default the one it was saved under]:NAME: '
		'*--name=[name of the machine; default the one it was saved under]:NAME: '
		'*--fill=[load untouched memory\: never, in the spare time of one core (default), on all cores]:none|idle|full:_torpor_choices none idle full'
		'*--require-signature=[refuse a file that this public key has not signed; `trust`\: any trusted key]:KEY:_files'
		'*--verify=[check every byte of the file, or only if it was not found good before (default)]:full|cached:_torpor_choices full cached'
		'*--unverified[resume without a check of the file]'
		'*--cpus=[CPU time that its virtual CPUs may use, in CPUs, such as 0.5 or 1.5]:N: '
		'*--cpu-weight=[its share of busy CPUs, 1 to 10000; others have 100]:N: '
		'*--cpuset=[this host'\''s CPUs that it may run on, such as 0-3,8]:LIST: '
		'*--memory-max=[memory of this host that it may take; at more than that the kernel ends it]:SIZE: '
		'*--pids-max=[processes and threads that it may have]:N: '
		'*--disk=[disk from raw file or device F, which only rw writes to; X=F is F,id=X; repeatable]:F\[,rw|ro|scratch\]\[,direct\]\[,id=X\]\[,share=no\]:_torpor_choices  ro scratch]'
		'*--volume=[disk from the volume NAME, made with ext4 if it is not there; repeatable]:NAME\[\:SIZE\]\[,id=X\]: '
		'*-v+[DIR is the folder that the guest has at GUEST; none\: it has those no more that are not given; repeatable]:DIR\:GUEST\[\:ro\]|none:_torpor_choices  none'
		'*--share=[DIR is the folder that the guest has at GUEST; none\: it has those no more that are not given; repeatable]:DIR\:GUEST\[\:ro\]|none:_torpor_choices  none'
		'*--vsock=[connect the guest'\''s vsock with Unix sockets\: PATH takes connections to it, PATH_PORT gets those of the guest to PORT]:PATH: '
		'*--disk-iops=[at most N requests a second to each disk, or to disk X; repeatable]:\[X=\]N: '
		'*--disk-bps=[at most SIZE bytes a second, read or written; repeatable]:\[X=\]SIZE: '
		'*--new-identity[new name and MAC addresses; the guest'\''s wake hooks renew the rest]'
		'*--net=[what a network card is connected to; repeatable, default user; user,host-loopback also reaches 127.0.0.1 of this host]:user|tap\[=IF\]|lan=NAME|none:_torpor_choices user tap lan= none'
		'*-p+[publish a port of the guest, or ADDR\:HOST\:GUEST on one address; without HOST, or 0, on any free port]:\[HOST\:\]GUEST\[/udp\]: '
		'*--publish=[publish a port of the guest, or ADDR\:HOST\:GUEST on one address; without HOST, or 0, on any free port]:\[HOST\:\]GUEST\[/udp\]: '
		'*--net-pps=[at most N frames a second from each network card, and as many to it]:N: '
		'*--net-bps=[at most SIZE bytes a second from each network card, and as many to it]:SIZE: '
		'*--pcap=[capture the frames of the network card; those of the second into FILE.1, and so on]:FILE:_files'
		'*--key-file=[key file of the encrypted appliance]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands '
		) ;;
	ps) arguments=(
		'--help[explain it]'
		'*-a[also machines that have ended]'
		'*--all[also machines that have ended]'
		'*-q[names only]'
		'*--quiet[names only]'
		'*-w[again and again, until ^C; on a terminal in the same place]'
		'*--watch[again and again, until ^C; on a terminal in the same place]'
		'*--interval=[of --watch; default 2]:SECONDS: '
		'*--json[print JSON]'
		'*:operand:_torpor_operands '
		) ;;
	events) arguments=(
		'--help[explain it]'
		'*--since=[events of the past, from then on, come first]:TIME: '
		'*--until=[end then; 0\: print the past and end]:TIME: '
		'*--json[print JSON]'
		'*:operand:_torpor_operands known'
		) ;;
	stats) arguments=(
		'--help[explain it]'
		'*-w[again and again, until ^C; on a terminal in the same place]'
		'*--watch[again and again, until ^C; on a terminal in the same place]'
		'*--interval=[of --watch; default 2]:SECONDS: '
		'*--fill=[how untouched memory is loaded from now on]:none|idle|full:_torpor_choices none idle full'
		'*--json[print JSON]'
		'*--prometheus[print metrics in Prometheus'\'' text format]'
		'*:operand:_torpor_operands running'
		) ;;
	update) arguments=(
		'--help[explain it]'
		'*--cpus=[CPU time that its virtual CPUs may use, in CPUs, such as 0.5 or 1.5]:N: '
		'*--cpu-weight=[its share of busy CPUs, 1 to 10000; others have 100]:N: '
		'*--cpuset=[this host'\''s CPUs that it may run on, such as 0-3,8]:LIST: '
		'*--memory-max=[memory of this host that it may take; at more than that the kernel ends it]:SIZE: '
		'*--pids-max=[processes and threads that it may have]:N: '
		'*:operand:_torpor_operands running'
		) ;;
	balloon) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*:operand:_torpor_operands running'
		) ;;
	port) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*:operand:_torpor_operands running'
		) ;;
	pause) arguments=(
		'--help[explain it]'
		'*:operand:_torpor_operands running'
		) ;;
	unpause) arguments=(
		'--help[explain it]'
		'*:operand:_torpor_operands running'
		) ;;
	reset) arguments=(
		'--help[explain it]'
		'*:operand:_torpor_operands running'
		) ;;
	stop) arguments=(
		'--help[explain it]'
		'*-t+[how long the guest may take before it is killed; default 10]:SECONDS: '
		'*--time=[how long the guest may take before it is killed; default 10]:SECONDS: '
		'*:operand:_torpor_operands running'
		) ;;
	kill) arguments=(
		'--help[explain it]'
		'*:operand:_torpor_operands running'
		) ;;
	rm) arguments=(
		'--help[explain it]'
		'*-f[kill running machines first]'
		'*--force[kill running machines first]'
		'*:operand:_torpor_operands known'
		) ;;
	wait) arguments=(
		'--help[explain it]'
		'*--until=[wait for this instead of the end]:text\:TEXT|port\:N|exec\:CMD:_torpor_choices text\: port\: exec\:'
		'*--timeout=[wait no longer, and return 124]:SECONDS: '
		'*:operand:_torpor_operands known'
		) ;;
	logs) arguments=(
		'--help[explain it]'
		'*-f[go on until the machine is over]'
		'*--follow[go on until the machine is over]'
		'*--host[torpor'\''s own messages instead of the guest'\''s output]'
		'*--tail=[begin with the last N lines of what is there]:N: '
		'*--since=[begin with the first line that came then or later]:TIME: '
		'*-t[the time in front of each line, as far as it is known]'
		'*--timestamps[the time in front of each line, as far as it is known]'
		'*:operand:_torpor_operands known'
		) ;;
	console) arguments=(
		'--help[explain it]'
		'*:operand:_torpor_operands running'
		) ;;
	exec) arguments=(
		'--help[explain it]'
		'*-i[hand standard input to the command]'
		'*--interactive[hand standard input to the command]'
		'*-t[give it a terminal]'
		'*--tty[give it a terminal]'
		'*-d[do not wait for it; its output is lost]'
		'*--detach[do not wait for it; its output is lost]'
		'*-e+[set a variable; K alone\: as it is here]:K=V: '
		'*--env=[set a variable; K alone\: as it is here]:K=V: '
		'*-w+[folder in the guest to run it in; default /]:DIR:_files -/'
		'*--workdir=[folder in the guest to run it in; default /]:DIR:_files -/'
		'*-u+[user in the guest to run it as; default root]:USER\[\:GROUP\]: '
		'*--user=[user in the guest to run it as; default root]:USER\[\:GROUP\]: '
		'*--timeout=[end it after that, with exit status 124]:SECONDS: '
		'*:operand:_torpor_operands running'
		) ;;
	cp) arguments=(
		'--help[explain it]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands inside files'
		) ;;
	inspect) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*--map[draw where the bytes of a file are, as text]'
		'*--html[draw that as a page of HTML]'
		'*:operand:_torpor_operands running saved images files'
		) ;;
	ls) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*:operand:_torpor_operands saved images files'
		) ;;
	extract) arguments=(
		'--help[explain it]'
		'*-C+[write there; default the current folder]:DIR:_files -/'
		'*--directory=[write there; default the current folder]:DIR:_files -/'
		'*-o+[write one ROLE to FILE, - for standard output]:FILE:_files'
		'*--output=[write one ROLE to FILE, - for standard output]:FILE:_files'
		'*--key-file=[key file of the encrypted appliance]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands saved images files'
		) ;;
	verify) arguments=(
		'--help[explain it]'
		'*-k+[insist that this public key signed it; `trust`\: any that is trusted]:KEY:_files'
		'*--key=[insist that this public key signed it; `trust`\: any that is trusted]:KEY:_files'
		'*--key-file=[key file of the encrypted appliance]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*--json[print JSON]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands saved images files'
		) ;;
	convert) arguments=(
		'--help[explain it]'
		'*--flat[do not pack\: a larger file, whose memory is mapped at a resume]'
		'*--packed[images packed, at level N (1 to 19; default 3)]'
		'*--drop-hot[leave out what torpor warm put in front]'
		'*--encrypt[make an encrypted one of it, with a new passphrase or --key-file]'
		'*--decrypt[make one in clear of an encrypted one]'
		'*--key-file=[key file of the encrypted appliance]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*--new-key-file=[encrypt an encrypted one with this key]:FILE:_files'
		'*--new-passphrase-file=[the same, with the passphrase in FILE]:FILE:_files'
		'*--new-passphrase[the same, with one that is asked for]'
		'*--json[print JSON]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands saved images files'
		) ;;
	flatten) arguments=(
		'--help[explain it]'
		'*-o+[file to write, - for standard output]:FILE:_files'
		'*--output=[file to write, - for standard output]:FILE:_files'
		'*--flat[do not pack\: a larger file, whose memory is mapped at a resume]'
		'*--level=[zstd level of packing, 1 to 19; default 3]:N: '
		'*--decrypt[write it in clear, although a parent is encrypted]'
		'*--key-file=[key file of the encrypted appliance]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*--json[print JSON]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands saved images files'
		) ;;
	tree) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*:operand:_torpor_operands saved images files'
		) ;;
	keygen) arguments=(
		'--help[explain it]'
		'*-p+[public key to write; default torpor.pub]:FILE:_files'
		'*--public=[public key to write; default torpor.pub]:FILE:_files'
		'*-s+[secret key to write; default torpor.key]:FILE:_files'
		'*--secret=[secret key to write; default torpor.key]:FILE:_files'
		'*--no-passphrase[leave the secret key unencrypted]'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*:operand:_torpor_operands '
		) ;;
	sign) arguments=(
		'--help[explain it]'
		'*-s+[secret key to sign with]:FILE:_files'
		'*--secret=[secret key to sign with]:FILE:_files'
		'*-c+[what the signature says; default the time and the file'\''s name]:TEXT: '
		'*--comment=[what the signature says; default the time and the file'\''s name]:TEXT: '
		'*-o+[file to write; default the appliance itself is replaced]:FILE:_files'
		'*--output=[file to write; default the appliance itself is replaced]:FILE:_files'
		'*--attach=[put in this signature of the config, made elsewhere]:FILE:_files'
		'*--passphrase-file=[the passphrase is the first line of FILE; - is standard input]:FILE:_files'
		'*:operand:_torpor_operands saved images files'
		) ;;
	push) arguments=(
		'--help[explain it]'
		'*--mount-from=[ask the registry to share blobs of its repository NAME]:NAME: '
		'*--signature[only attach the signature to REF, which is the same appliance]'
		'*--index[list each FILE or NAME in an index at REF, by its platform]'
		'*--cacert=[trust the certificates in FILE, and no others]:FILE:_files'
		'*--plain-http[speak http, without encryption, to a registry on another host, too]'
		'*--timeout=[give up a connection that is silent for so long, default 60, and try again]:SECONDS: '
		'*--json[print JSON]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands saved images files'
		) ;;
	pull) arguments=(
		'--help[explain it]'
		'*--all-platforms[of an index all images, and not only this host'\''s]'
		'*--require-signature=[refuse an image that this public key has not signed; `trust`\: any trusted key]:KEY:_files'
		'*--cacert=[trust the certificates in FILE, and no others]:FILE:_files'
		'*--plain-http[speak http, without encryption, to a registry on another host, too]'
		'*--timeout=[give up a connection that is silent for so long, default 60, and try again]:SECONDS: '
		'*--json[print JSON]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands remote'
		) ;;
	login) arguments=(
		'--help[explain it]'
		'*-u+[who you are there]:USER: '
		'*--username=[who you are there]:USER: '
		'*--password-stdin[the password is the first line of standard input; otherwise it is asked for]'
		'*--cacert=[trust the certificates in FILE, and no others]:FILE:_files'
		'*--plain-http[speak http, without encryption, to a registry on another host, too]'
		'*--timeout=[give up a connection that is silent for so long, default 60, and try again]:SECONDS: '
		'*:operand:_torpor_operands '
		) ;;
	logout) arguments=(
		'--help[explain it]'
		'*:operand:_torpor_operands '
		) ;;
	images) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*:operand:_torpor_operands '
		) ;;
	tag) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands saved images files'
		) ;;
	serve) arguments=(
		'--help[explain it]'
		'*--listen=[where; by default 127.0.0.1\:5000]:ADDR\:PORT: '
		'*--store[serve the store, too, beside the PATHs]'
		'*--log=[add a line for each request to FILE; - is standard error]:FILE:_files'
		'*--timeout=[how long a client may do nothing; by default 60]:SECONDS: '
		'*:operand:_torpor_operands files'
		) ;;
	rmi) arguments=(
		'--help[explain it]'
		'*:operand:_torpor_operands images'
		) ;;
	gc) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands '
		) ;;
	volume) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'1:subcommand:_torpor_choices create ls inspect rm'
		'*:operand:_torpor_operands volumes'
		) ;;
	disk) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'1:subcommand:_torpor_choices create import info'
		'*:operand:_torpor_operands files'
		) ;;
	compat) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*:operand:_torpor_operands saved images files'
		) ;;
	lan) arguments=(
		'--help[explain it]'
		'*--dhcp[create\: give addresses and names, by default of 10.77.N.0/24]'
		'*--dns=[create\: tell machines this name server instead of the LAN'\''s own]:ADDR: '
		'*--force[rm\: also when somebody is on it]'
		'*--listen=[serve\: at unix\:PATH or tcp\:ADDR\:PORT]:ADDRESS: '
		'*--connect=[join\: who serves at unix\:PATH or tcp\:ADDR\:PORT]:ADDRESS: '
		'*--json[print JSON]'
		'1:subcommand:_torpor_choices create ls stats rm serve join'
		'*:operand:_torpor_operands lans'
		) ;;
	warm) arguments=(
		'--help[explain it]'
		'*--for=[watch it for that long, default 5; with --until at most, default 600]:SECONDS: '
		'*--until=[watch it until it writes this to its console]:TEXT: '
		'*-o+[write there; default\: replace FILE]:FILE:_files'
		'*--output=[write there; default\: replace FILE]:FILE:_files'
		'*--until-closed=[end it when nobody has the other end of PIPE open any more, as /dev/fd/3]:PIPE: '
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'*:operand:_torpor_operands saved images files'
		) ;;
	test) arguments=(
		'--help[explain it]'
		'*--from=[the golden of all tests, in place of what their heads name]:FILE:_files'
		'*-p+[publish a port of the guest for all tests; its number here is $TORPOR_PORT_GUEST; repeatable]:GUEST\[/udp\]: '
		'*--publish=[publish a port of the guest for all tests; its number here is $TORPOR_PORT_GUEST; repeatable]:GUEST\[/udp\]: '
		'*-j+[so many tests at once (default 1), each with a machine; 0\: one a core]:N: '
		'*--jobs=[so many tests at once (default 1), each with a machine; 0\: one a core]:N: '
		'*--repeat=[run each test N times; one that does not always pass is flaky]:N: '
		'*--shard=[only part I of N of the tests]:I/N: '
		'*--clock=[the guest'\''s time as each test begins\: 2026-01-31T12\:00\:00Z, or @SECONDS since 1970]:TIME: '
		'*--failed=[folder for the machines of tests that fail (default failed)]:DIR:_files -/'
		'*--no-save[do not save the machines of tests that fail]'
		'*--check-fs=[compare the guest'\''s files behind each test with its listing in DIR; --update writes it]:DIR:_files -/'
		'*--update[accept what the tests print\: rewrite them]'
		'*--tap[print TAP]'
		'*--json[print JSON, at the end]'
		'*--diff[print what `patch -p0` takes to accept what the tests print]'
		'*-i[ask about each difference, and rewrite the tests]'
		'*--interactive[ask about each difference, and rewrite the tests]'
		'*--junit=[write a report as JUnit XML]:FILE:_files'
		'*--html=[write a report as one HTML page]:FILE:_files'
		'*:operand:_torpor_operands files'
		) ;;
	golden) arguments=(
		'--help[explain it]'
		'*-o+[file to write; default RECIPE'\''s with the ending .torpor in place of .t]:FILE:_files'
		'*--output=[file to write; default RECIPE'\''s with the ending .torpor in place of .t]:FILE:_files'
		'*--from=[what it begins with, in place of the FILE in its head]:FILE:_files'
		'*--update[accept what the commands print\: rewrite RECIPE]'
		'*--progress=[how far it is, on standard error\: lines, JSON lines, or nothing]:plain|json|none:_torpor_choices plain json none'
		'1:subcommand:_torpor_choices record check'
		'*:operand:_torpor_operands files'
		) ;;
	doctor) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*:operand:_torpor_operands '
		) ;;
	version) arguments=(
		'--help[explain it]'
		'*--json[print JSON]'
		'*:operand:_torpor_operands '
		) ;;
	help) arguments=(
		'--help[explain it]'
		'*:operand:_torpor_operands verbs'
		) ;;
	esac
}
# So far the tables.

_torpor_choices() # WORD...: some end in what a value follows
{
	local -a whole begun expl
	whole=(${@:#-*}) whole=(${whole:#*[=:]}) begun=(${(M)@:#*[=:]})
	_wanted values expl value compadd -a whole
	_wanted values expl value compadd -S '' -a begun
	if [[ $PREFIX == lan=* ]]; then
		compset -P 'lan='
		_torpor_operands lans
	fi
}

_torpor_operands() # KIND...
{
	local kind
	local -a names expl
	for kind; do
		[[ $kind != -* ]] || continue
		case $kind in
		running) names=(${(f)"$(torpor ps -q 2>/dev/null)"}) ;;
		known) names=(${(f)"$(torpor ps -aq 2>/dev/null)"}) ;;
		inside) names=(${(f)"$(torpor ps -q 2>/dev/null)"}) ;;
		saved) names=(${XDG_DATA_HOME:-$HOME/.local/share}/torpor/*.torpor(N:t:r)) ;;
		images) names=(${(f)"$(torpor images 2>/dev/null | awk 'NR > 1 { print $NF }')"}) ;;
		remote) names=(${(f)"$(torpor images 2>/dev/null | awk 'NR > 1 && $NF !~ /^localhost\// { print $NF }')"}) ;;
		volumes) names=(${(f)"$(torpor volume ls 2>/dev/null | awk 'NR > 1 { print $1 }')"}) ;;
		lans) names=(${(f)"$(torpor lan ls 2>/dev/null | awk 'NR > 1 { print $1 }')"}) ;;
		verbs) names=(${_torpor_verbs%%:*}) ;;
		files) _files; continue ;;
		esac
		if [[ $kind == inside ]]; then
			_wanted $kind expl "a machine's path" compadd -S : -a names
		else
			_wanted $kind expl $kind compadd -a names
		fi
	done
}

_torpor()
{
	local curcontext=$curcontext state line
	_arguments -C '1:verb:->verb' '*::argument:->rest'
	case $state in
	verb) _describe verb _torpor_verbs ;;
	rest)
		_torpor_verb $words[1]
		_arguments -s -S $arguments
		;;
	esac
}

_torpor "$@"
