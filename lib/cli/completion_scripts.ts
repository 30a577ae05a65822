/**
 * What a shell loads so that Tab works. Each script hands the words as they were typed to
 * `vibe __complete` and evaluates nothing of them, nor of what comes back.
 *
 * The answer is one line that says whether files fit, too (`none`, `files`, `directories`), then a
 * line for each candidate; for zsh and fish, a tab and a description may follow it.
 */

/** The shells that completions exist for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** One of {@link SHELLS}. */
export type Shell = typeof SHELLS[number];

/** The hidden first argument that asks for candidates. */
export const COMPLETE = "__complete";

// Candidates for bash are quoted already, and cut to what replaces COMP_WORDS[COMP_CWORD].
const BASH = `_vibe() {
  local paths line
  COMPREPLY=()
  {
    IFS= read -r paths || return
    while IFS= read -r line; do COMPREPLY+=("$line"); done
  } < <(command vibe ${COMPLETE} bash "$COMP_TYPE" "\${COMP_LINE:0:COMP_POINT}" \\
    "\${COMP_WORDS[COMP_CWORD]}" 2>/dev/null)
  case \${#COMPREPLY[@]}-\${COMPREPLY[0]-} in 1-*[:=/]) compopt -o nospace ;; esac
  case $paths in
    files) compopt -o default ;;
    directories) compopt -o dirnames ;;
  esac
}
complete -F _vibe vibe
`;

const ZSH = `#compdef vibe
_vibe() {
  local -a lines values shown
  local line
  lines=("\${(@f)$(command vibe ${COMPLETE} zsh "\${(@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
  for line in "\${(@)lines[2,-1]}"; do
    values+=("\${line%%$'\\t'*}")
    shown+=("\${line//$'\\t'/  -- }")
  done
  (( $#values )) && compadd -l -d shown -- "\${(@)values}"
  case $lines[1] in
    files) _files ;;
    directories) _directories ;;
  esac
}
if [ "$funcstack[1]" = _vibe ]; then _vibe "$@"; else compdef _vibe vibe; fi
`;

const FISH = `function __vibe_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines (command vibe ${COMPLETE} fish $words[2..-1] 2>/dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path (commandline -ct)
        case directories
            __fish_complete_directories (commandline -ct)
    end
    printf '%s\\n' $lines[2..-1]
end
complete -c vibe -f -a '(__vibe_complete)'
`;

/** The script for a shell. */
export const SCRIPTS: Record<Shell, string> = { bash: BASH, zsh: ZSH, fish: FISH };
