# bash completion for torpor
# From the tables of verbs, by UPDATE_GOLDEN=1 of the unit tests:
_torpor_verbs='build run resume clone save move receive ps events stats update balloon port pause unpause reset stop kill rm wait logs console exec cp inspect ls extract verify convert flatten tree keygen sign push pull login logout images tag serve rmi gc volume disk compat lan warm test golden doctor version help'
_torpor_verb()
{
	case $verb in
	build)
		subcommands='' operands='files'
		flags='--live --encrypt --plain-http --help' files='-o --output --key-file --passphrase-file --kernel --initrd --from --cacert' folders='--modules'
		choices='--ready --disk --cpu --console --net --pull --progress' others='--ready-timeout --warm --append --volume --disk-iops --disk-bps -m --memory -c --vcpus --mac --mtu --queues --module --space --timeout'
		case $prev in --ready) words='text: port: exec:' ;; esac
		case $prev in --disk) words=' ro scratch]' ;; esac
		case $prev in --cpu) words='v1 v2 v3 host' ;; esac
		case $prev in --console) words='ttyS0 hvc0' ;; esac
		case $prev in --net) words='user none' ;; esac
		case $prev in --pull) words='always missing never' ;; esac
		case $prev in --progress) words='plain json none' ;; esac
		;;
	run)
		subcommands='' operands='images files'
		flags='-d --detach --rm --plain-http --help' files='--kernel --initrd --pcap --key-file --passphrase-file --cacert' folders='--modules'
		choices='--on-term --restart --disks --disk --cpu --console --net --pull --progress' others='-n --name --until-closed --append --volume --disk-iops --disk-bps -m --memory -c --vcpus -v --share --vsock --cpus --cpu-weight --cpuset --memory-max --pids-max -p --publish --net-pps --net-bps --mac --mtu --queues --module --space --timeout'
		case $prev in --on-term) words='stop save kill' ;; esac
		case $prev in --restart) words='no on-failure always' ;; esac
		case $prev in --disks) words='inside outside' ;; esac
		case $prev in --disk) words=' ro scratch]' ;; esac
		case $prev in --cpu) words='v1 v2 v3 host' ;; esac
		case $prev in --console) words='ttyS0 hvc0' ;; esac
		case $prev in --net) words='user tap lan= none' ;; esac
		case $prev in --pull) words='always missing never' ;; esac
		case $prev in --progress) words='plain json none' ;; esac
		;;
	resume)
		subcommands='' operands='running saved images files'
		flags='-d --detach --paused --golden --rm --wait-complete --unverified --new-identity --plain-http --help' files='--require-signature --pcap --key-file --passphrase-file --cacert' folders=''
		choices='--on-term --restart --disks --fill --verify --disk -v --share --net --progress' others='--idle-save --until-closed -n --name --cpus --cpu-weight --cpuset --memory-max --pids-max --volume --vsock --disk-iops --disk-bps -p --publish --net-pps --net-bps --timeout'
		case $prev in --on-term) words='stop save kill' ;; esac
		case $prev in --restart) words='no on-failure always' ;; esac
		case $prev in --disks) words='inside outside' ;; esac
		case $prev in --fill) words='none idle full' ;; esac
		case $prev in --verify) words='full cached' ;; esac
		case $prev in --disk) words=' ro scratch]' ;; esac
		case $prev in --share|-v) words=' none' ;; esac
		case $prev in --net) words='user tap lan= none' ;; esac
		case $prev in --progress) words='plain json none' ;; esac
		;;
	clone)
		subcommands='' operands='running saved images files'
		flags='--unverified --new-identity --help' files='--require-signature --pcap --key-file --passphrase-file' folders=''
		choices='--fill --verify --disk -v --share --net --progress' others='-c --count -n --name --cpus --cpu-weight --cpuset --memory-max --pids-max --volume --vsock --disk-iops --disk-bps -p --publish --net-pps --net-bps'
		case $prev in --fill) words='none idle full' ;; esac
		case $prev in --verify) words='full cached' ;; esac
		case $prev in --disk) words=' ro scratch]' ;; esac
		case $prev in --share|-v) words=' none' ;; esac
		case $prev in --net) words='user tap lan= none' ;; esac
		case $prev in --progress) words='plain json none' ;; esac
		;;
	save)
		subcommands='' operands='running'
		flags='-R --leave-running --trim --flat --full --force --encrypt --decrypt -d --detach --json --help' files='-o --output --parent --key-file --passphrase-file' folders=''
		choices='--disks --every --progress' others='--as --level --keep'
		case $prev in --disks) words='inside outside' ;; esac
		case $prev in --every) words=' off' ;; esac
		case $prev in --progress) words='plain json none' ;; esac
		;;
	move)
		subcommands='' operands='running'
		flags='--trim --flat --help' files='' folders=''
		choices='--progress' others='--level'
		case $prev in --progress) words='plain json none' ;; esac
		;;
	receive)
		subcommands='' operands=''
		flags='--paused --unverified --new-identity --help' files='--require-signature --pcap --key-file --passphrase-file' folders=''
		choices='--fill --verify --disk -v --share --net --progress' others='-n --name --cpus --cpu-weight --cpuset --memory-max --pids-max --volume --vsock --disk-iops --disk-bps -p --publish --net-pps --net-bps'
		case $prev in --fill) words='none idle full' ;; esac
		case $prev in --verify) words='full cached' ;; esac
		case $prev in --disk) words=' ro scratch]' ;; esac
		case $prev in --share|-v) words=' none' ;; esac
		case $prev in --net) words='user tap lan= none' ;; esac
		case $prev in --progress) words='plain json none' ;; esac
		;;
	ps)
		subcommands='' operands=''
		flags='-a --all -q --quiet -w --watch --json --help' files='' folders=''
		choices='' others='--interval'
		;;
	events)
		subcommands='' operands='known'
		flags='--json --help' files='' folders=''
		choices='' others='--since --until'
		;;
	stats)
		subcommands='' operands='running'
		flags='-w --watch --json --prometheus --help' files='' folders=''
		choices='--fill' others='--interval'
		case $prev in --fill) words='none idle full' ;; esac
		;;
	update)
		subcommands='' operands='running'
		flags='--help' files='' folders=''
		choices='' others='--cpus --cpu-weight --cpuset --memory-max --pids-max'
		;;
	balloon)
		subcommands='' operands='running'
		flags='--json --help' files='' folders=''
		choices='' others=''
		;;
	port)
		subcommands='' operands='running'
		flags='--json --help' files='' folders=''
		choices='' others=''
		;;
	pause)
		subcommands='' operands='running'
		flags='--help' files='' folders=''
		choices='' others=''
		;;
	unpause)
		subcommands='' operands='running'
		flags='--help' files='' folders=''
		choices='' others=''
		;;
	reset)
		subcommands='' operands='running'
		flags='--help' files='' folders=''
		choices='' others=''
		;;
	stop)
		subcommands='' operands='running'
		flags='--help' files='' folders=''
		choices='' others='-t --time'
		;;
	kill)
		subcommands='' operands='running'
		flags='--help' files='' folders=''
		choices='' others=''
		;;
	rm)
		subcommands='' operands='known'
		flags='-f --force --help' files='' folders=''
		choices='' others=''
		;;
	wait)
		subcommands='' operands='known'
		flags='--help' files='' folders=''
		choices='--until' others='--timeout'
		case $prev in --until) words='text: port: exec:' ;; esac
		;;
	logs)
		subcommands='' operands='known'
		flags='-f --follow --host -t --timestamps --help' files='' folders=''
		choices='' others='--tail --since'
		;;
	console)
		subcommands='' operands='running'
		flags='--help' files='' folders=''
		choices='' others=''
		;;
	exec)
		subcommands='' operands='running'
		flags='-i --interactive -t --tty -d --detach --help' files='' folders='-w --workdir'
		choices='' others='-e --env -u --user --timeout'
		;;
	cp)
		subcommands='' operands='inside files'
		flags='--help' files='' folders=''
		choices='--progress' others=''
		case $prev in --progress) words='plain json none' ;; esac
		;;
	inspect)
		subcommands='' operands='running saved images files'
		flags='--json --map --html --help' files='' folders=''
		choices='' others=''
		;;
	ls)
		subcommands='' operands='saved images files'
		flags='--json --help' files='' folders=''
		choices='' others=''
		;;
	extract)
		subcommands='' operands='saved images files'
		flags='--help' files='-o --output --key-file --passphrase-file' folders='-C --directory'
		choices='--progress' others=''
		case $prev in --progress) words='plain json none' ;; esac
		;;
	verify)
		subcommands='' operands='saved images files'
		flags='--json --help' files='-k --key --key-file --passphrase-file' folders=''
		choices='--progress' others=''
		case $prev in --progress) words='plain json none' ;; esac
		;;
	convert)
		subcommands='' operands='saved images files'
		flags='--flat --packed --drop-hot --encrypt --decrypt --new-passphrase --json --help' files='--key-file --passphrase-file --new-key-file --new-passphrase-file' folders=''
		choices='--progress' others=''
		case $prev in --progress) words='plain json none' ;; esac
		;;
	flatten)
		subcommands='' operands='saved images files'
		flags='--flat --decrypt --json --help' files='-o --output --key-file --passphrase-file' folders=''
		choices='--progress' others='--level'
		case $prev in --progress) words='plain json none' ;; esac
		;;
	tree)
		subcommands='' operands='saved images files'
		flags='--json --help' files='' folders=''
		choices='' others=''
		;;
	keygen)
		subcommands='' operands=''
		flags='--no-passphrase --help' files='-p --public -s --secret --passphrase-file' folders=''
		choices='' others=''
		;;
	sign)
		subcommands='' operands='saved images files'
		flags='--help' files='-s --secret -o --output --attach --passphrase-file' folders=''
		choices='' others='-c --comment'
		;;
	push)
		subcommands='' operands='saved images files'
		flags='--signature --index --plain-http --json --help' files='--cacert' folders=''
		choices='--progress' others='--mount-from --timeout'
		case $prev in --progress) words='plain json none' ;; esac
		;;
	pull)
		subcommands='' operands='remote'
		flags='--all-platforms --plain-http --json --help' files='--require-signature --cacert' folders=''
		choices='--progress' others='--timeout'
		case $prev in --progress) words='plain json none' ;; esac
		;;
	login)
		subcommands='' operands=''
		flags='--password-stdin --plain-http --help' files='--cacert' folders=''
		choices='' others='-u --username --timeout'
		;;
	logout)
		subcommands='' operands=''
		flags='--help' files='' folders=''
		choices='' others=''
		;;
	images)
		subcommands='' operands=''
		flags='--json --help' files='' folders=''
		choices='' others=''
		;;
	tag)
		subcommands='' operands='saved images files'
		flags='--json --help' files='' folders=''
		choices='--progress' others=''
		case $prev in --progress) words='plain json none' ;; esac
		;;
	serve)
		subcommands='' operands='files'
		flags='--store --help' files='--log' folders=''
		choices='' others='--listen --timeout'
		;;
	rmi)
		subcommands='' operands='images'
		flags='--help' files='' folders=''
		choices='' others=''
		;;
	gc)
		subcommands='' operands=''
		flags='--json --help' files='' folders=''
		choices='--progress' others=''
		case $prev in --progress) words='plain json none' ;; esac
		;;
	volume)
		subcommands='create ls inspect rm' operands='volumes'
		flags='--json --help' files='' folders=''
		choices='' others=''
		;;
	disk)
		subcommands='create import info' operands='files'
		flags='--json --help' files='' folders=''
		choices='--progress' others=''
		case $prev in --progress) words='plain json none' ;; esac
		;;
	compat)
		subcommands='' operands='saved images files'
		flags='--json --help' files='' folders=''
		choices='' others=''
		;;
	lan)
		subcommands='create ls stats rm serve join' operands='lans'
		flags='--dhcp --force --json --help' files='' folders=''
		choices='' others='--dns --listen --connect'
		;;
	warm)
		subcommands='' operands='saved images files'
		flags='--help' files='-o --output' folders=''
		choices='--progress' others='--for --until --until-closed'
		case $prev in --progress) words='plain json none' ;; esac
		;;
	test)
		subcommands='' operands='files'
		flags='--no-save --update --tap --json --diff -i --interactive --help' files='--from --junit --html' folders='--failed --check-fs'
		choices='' others='-p --publish -j --jobs --repeat --shard --clock'
		;;
	golden)
		subcommands='record check' operands='files'
		flags='--update --help' files='-o --output --from' folders=''
		choices='--progress' others=''
		case $prev in --progress) words='plain json none' ;; esac
		;;
	doctor)
		subcommands='' operands=''
		flags='--json --help' files='' folders=''
		choices='' others=''
		;;
	version)
		subcommands='' operands=''
		flags='--json --help' files='' folders=''
		choices='' others=''
		;;
	help)
		subcommands='' operands='verbs'
		flags='--help' files='' folders=''
		choices='' others=''
		;;
	esac
}
# So far the tables.

# Candidates of a kind of operand, one a line.
_torpor_kind()
{
	case $1 in
	running) torpor ps -q 2>/dev/null ;;
	known) torpor ps -aq 2>/dev/null ;;
	inside) torpor ps -q 2>/dev/null | sed 's/$/:/' ;;
	saved) (cd "${XDG_DATA_HOME:-$HOME/.local/share}/torpor" 2>/dev/null && printf '%s\n' *.torpor) |
		sed -n 's/^\([^*].*\)\.torpor$/\1/p' ;;
	images) torpor images 2>/dev/null | awk 'NR > 1 { print $NF }' ;;
	remote) torpor images 2>/dev/null | awk 'NR > 1 && $NF !~ /^localhost\// { print $NF }' ;;
	volumes) torpor volume ls 2>/dev/null | awk 'NR > 1 { print $1 }' ;;
	lans) torpor lan ls 2>/dev/null | awk 'NR > 1 { print $1 }' ;;
	verbs) printf '%s\n' $_torpor_verbs ;;
	esac
}

# WORD LIST
_torpor_has()
{
	case " $2 " in
	*" $1 "*) return 0 ;;
	esac
	return 1
}

# WORD WORDLIST: bash has cut WORD at its last colon or equals sign, and puts what is here behind that.
_torpor_match()
{
	local IFS=$'\n' candidate head=${1%"${1##*[:=]}"}
	for candidate in $(compgen -W "$2" -- "$1"); do
		COMPREPLY+=("${candidate#"$head"}")
	done
	case ${COMPREPLY[0]-} in
	*[:=]) compopt -o nospace 2>/dev/null ;;
	esac
}

_torpor_files() # WORD files|folders
{
	local IFS=$'\n'
	compopt -o filenames 2>/dev/null
	case $2 in
	files) COMPREPLY+=($(compgen -f -- "${1##*=}")) ;;
	folders) COMPREPLY+=($(compgen -d -- "${1##*=}")) ;;
	esac
}

_torpor()
{
	local line=${COMP_LINE:0:COMP_POINT} word= prev verb kind before
	local subcommands= operands= flags= files= folders= choices= others= words=
	COMPREPLY=()
	read -ra before <<<"$line"
	case $line in
	*[[:blank:]]) ;;
	*) word=${before[${#before[@]}-1]}; unset "before[${#before[@]}-1]" ;;
	esac
	if [ ${#before[@]} -le 1 ]; then
		_torpor_match "$word" "${_torpor_verbs// /$'\n'}"
		return
	fi
	verb=${before[1]} prev=${before[${#before[@]}-1]}
	case $word in
	--*=*) prev=${word%%=*} word=${word#*=} ;;
	esac
	_torpor_verb
	if [ -n "$words" ]; then
		_torpor_match "$word" "${words// /$'\n'}"
		case $word in
		lan=*) _torpor_match "$word" "$(_torpor_kind lans | sed 's/^/lan=/')" ;;
		esac
	elif _torpor_has "$prev" "$files"; then
		_torpor_files "$word" files
	elif _torpor_has "$prev" "$folders"; then
		_torpor_files "$word" folders
	elif _torpor_has "$prev" "$others"; then
		return
	elif [[ $word == -* ]]; then
		words="$flags $files $folders $choices $others"
		_torpor_match "$word" "${words// /$'\n'}"
	elif [ -n "$subcommands" ] && [ ${#before[@]} = 2 ]; then
		_torpor_match "$word" "${subcommands// /$'\n'}"
	else
		for kind in $operands; do
			_torpor_match "$word" "$(_torpor_kind "$kind")"
		done
		_torpor_has files "$operands" && _torpor_files "$word" files
	fi
	return 0
}
complete -F _torpor torpor
