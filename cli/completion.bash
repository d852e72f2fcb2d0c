# bash completion for torpor; generated from its table of verbs
_torpor()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local verb=${COMP_WORDS[1]} options='' operands=''

	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "$(_torpor_verbs)" -- "$cur"))
		return
	fi
	case $verb in
	build)
		options='-o --output --live --ready --ready-timeout --warm --encrypt --key-file --passphrase-file --kernel --initrd --append --disk -m --memory -c --cpus --cpu --console --net --mac --mtu --queues --from --modules --module --space --cacert --plain-http --timeout --help' operands=' files' ;;
	run)
		options='-d --detach -n --name --rm --until-closed --kernel --initrd --append --disk -m --memory -c --cpus --cpu --console --net -p --publish --pcap --mac --mtu --queues --key-file --passphrase-file --modules --module --space --cacert --plain-http --timeout --help' operands=' files' ;;
	resume)
		options='-d --detach --paused --golden --until-closed --rm -n --name --fill --require-signature --verify --unverified --new-identity --net -p --publish --pcap --key-file --passphrase-file --help' operands='running files' ;;
	clone)
		options='-c --count -n --name --fill --require-signature --verify --unverified --new-identity --net -p --publish --pcap --key-file --passphrase-file --help' operands='running files' ;;
	save)
		options='-o --output --as -R --leave-running --trim --flat --level --parent --full --force --encrypt --decrypt --key-file --passphrase-file --json --help' operands='running' ;;
	move)
		options='--trim --flat --level --help' operands='running' ;;
	receive)
		options='--paused -n --name --fill --require-signature --verify --unverified --new-identity --net -p --publish --pcap --key-file --passphrase-file --help' operands='' ;;
	ps)
		options='-a --all -q --quiet --json --help' operands='' ;;
	events)
		options='--since --until --json --help' operands='known' ;;
	stats)
		options='-w --watch --interval --fill --json --help' operands='running' ;;
	port)
		options='--json --help' operands='running' ;;
	pause)
		options='--help' operands='running' ;;
	unpause)
		options='--help' operands='running' ;;
	reset)
		options='--help' operands='running' ;;
	stop)
		options='-t --time --help' operands='running' ;;
	kill)
		options='--help' operands='running' ;;
	rm)
		options='-f --force --help' operands='known' ;;
	wait)
		options='--until --timeout --help' operands='known' ;;
	logs)
		options='-f --follow --host --help' operands='known' ;;
	console)
		options='--help' operands='running' ;;
	exec)
		options='-i --interactive -t --tty -d --detach -e --env -w --workdir -u --user --timeout --help' operands='running' ;;
	cp)
		options='--help' operands='running' ;;
	inspect)
		options='--json --help' operands='running files' ;;
	ls)
		options='--json --help' operands='running files' ;;
	extract)
		options='-C --directory -o --output --key-file --passphrase-file --help' operands='running files' ;;
	verify)
		options='-k --key --key-file --passphrase-file --json --help' operands='running files' ;;
	convert)
		options='--flat --packed --drop-hot --encrypt --decrypt --key-file --passphrase-file --new-key-file --new-passphrase-file --new-passphrase --json --help' operands='running files' ;;
	flatten)
		options='-o --output --flat --level --decrypt --key-file --passphrase-file --json --help' operands='running files' ;;
	tree)
		options='--json --help' operands='running files' ;;
	keygen)
		options='-p --public -s --secret --no-passphrase --passphrase-file --help' operands='' ;;
	sign)
		options='-s --secret -c --comment -o --output --attach --passphrase-file --help' operands='running files' ;;
	push)
		options='--mount-from --cacert --plain-http --timeout --json --help' operands='running files' ;;
	pull)
		options='--cacert --plain-http --timeout --json --help' operands='' ;;
	login)
		options='-u --username --password-stdin --cacert --plain-http --timeout --help' operands='' ;;
	logout)
		options='--help' operands='' ;;
	images)
		options='--json --help' operands='' ;;
	tag)
		options='--json --help' operands='running files' ;;
	rmi)
		options='--help' operands='' ;;
	gc)
		options='--json --help' operands='' ;;
	compat)
		options='--json --help' operands='running files' ;;
	lan)
		options='--dhcp --dns --force --listen --connect --json --help' operands='running' ;;
	warm)
		options='--for --until -o --output --until-closed --help' operands='running files' ;;
	test)
		options='--from -p --publish -j --jobs --repeat --shard --clock --failed --no-save --check-fs --update --tap --json --diff -i --interactive --junit --html --help' operands='' ;;
	golden)
		options='-o --output --from --update --help' operands=' files' ;;
	doctor)
		options='--json --help' operands='' ;;
	version)
		options='--json --help' operands='' ;;
	help)
		options='--help' operands='verbs' ;;
	esac
	case $prev in
	--cpu) COMPREPLY=($(compgen -W 'v1 v2 v3 host' -- "$cur")); return ;;
	--console) COMPREPLY=($(compgen -W 'ttyS0 hvc0' -- "$cur")); return ;;
	--kernel|--initrd|--disk|--output|-o|--public|-p|--secret|-s|--key-file|--passphrase-file)
		compopt -o filenames
		COMPREPLY=($(compgen -f -- "$cur"))
		return ;;
	esac
	COMPREPLY=()
	case $operands in
	*running*) COMPREPLY+=($(compgen -W "$(torpor ps -q 2>/dev/null)" -- "$cur")) ;;
	*known*) COMPREPLY+=($(compgen -W "$(torpor ps -aq 2>/dev/null)" -- "$cur")) ;;
	*verbs*) COMPREPLY+=($(compgen -W "$(_torpor_verbs)" -- "$cur")) ;;
	esac
	case $operands in
	*files*)
		compopt -o filenames
		COMPREPLY+=($(compgen -f -- "$cur")) ;;
	esac
	case $cur in
	-*) COMPREPLY=($(compgen -W "$options" -- "$cur")) ;;
	esac
}
complete -F _torpor torpor
_torpor_verbs()
{
	echo 'build run resume clone save move receive ps events stats port pause unpause reset stop kill rm wait logs console exec cp inspect ls extract verify convert flatten tree keygen sign push pull login logout images tag rmi gc compat lan warm test golden doctor version help'
}
