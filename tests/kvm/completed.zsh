#!/usr/bin/zsh -f
# completed.zsh FOLDER LINE: what zsh offers behind LINE, one candidate a line, with _torpor of FOLDER. A shell at a
# terminal of its own is asked, for zsh completes nowhere else; its compadd prints what it is given.
zmodload zsh/zpty
folder=$1 line=$2
zpty shell zsh -f -i
# By the end of what is typed, not by its echo: the quotes are gone there.
type_line() { zpty -w shell "$1; print -r -- rea''dy"; zpty -r shell _ '*ready*' }
type_line "PROMPT= PS2= RPROMPT=; unsetopt zle_bracketed_paste prompt_sp; fpath=($folder \$fpath); autoload -Uz compinit; compinit -D -u"
type_line 'compadd() { if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
  local -a found; builtin compadd -A found "$@"; print -rl -- "<"${^found}">" >>$TTY; builtin compadd "$@" }'
type_line 'finish() { print -r -- "<ready>"; }; comp() { zle complete-word; finish }; zle -N comp; bindkey "^I" comp'
type_line 'zstyle ":completion:*" verbose no; zstyle ":completion:*" list-prompt ""; LISTMAX=0; setopt no_list_beep'
zpty -n -w shell "$line"$'\t'
zpty -r shell said '*<ready>*'
print -r -- "$said" | tr -d '\r' | sed -n 's/.*<\([^<>]*\)>.*/\1/p' | grep -vx ready | sort -u
zpty -d shell
