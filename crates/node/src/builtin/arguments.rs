//! The command line of `tar`, as far as we follow it.

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Create,
    Extract,
    List,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) mode: Mode,
    pub(super) directory: String,
    /// Times are those of the extraction.
    pub(super) touch: bool,
    pub(super) keep_permissions: bool,
    pub(super) verbose: bool,
    pub(super) members: Vec<String>,
}

impl Arguments {
    pub(super) fn parse(args: &[String]) -> Result<Self, String> {
        let mut parsed = Self {
            mode: Mode::List,
            directory: "/".to_owned(),
            touch: false,
            keep_permissions: true,
            verbose: false,
            members: Vec::new(),
        };
        let mut mode = None;
        let mut words = args.iter().map(String::as_str);
        let mut is_first = true;
        let mut only_members = false;
        while let Some(word) = words.next() {
            let bundle = match word {
                "--" if !only_members => {
                    only_members = true;
                    continue;
                }
                _ if only_members => None,
                "--no-same-permissions" => {
                    parsed.keep_permissions = false;
                    continue;
                }
                "--no-same-owner" | "--same-permissions" | "--preserve-permissions" | "--same-owner" => continue,
                word if word.starts_with("--") => return Err(format!("unrecognized option '{word}'")),
                word if word.len() > 1 && word.starts_with('-') => Some(&word[1..]),
                word if is_first => Some(word),
                _ => None,
            };
            is_first = false;
            match bundle {
                Some(letters) => parsed.letters(letters, &mut mode, &mut words)?,
                None => parsed.members.push(word.to_owned()),
            }
        }
        parsed.mode = mode.ok_or("You must specify one of the '-ctx' options")?;
        Ok(parsed)
    }

    fn letters<'a>(
        &mut self,
        letters: &str,
        mode: &mut Option<Mode>,
        words: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let mut value = |letter: char| words.next().ok_or_else(|| format!("option requires an argument -- '{letter}'"));
        for letter in letters.chars() {
            match letter {
                'c' => *mode = Some(Mode::Create),
                'x' => *mode = Some(Mode::Extract),
                't' => *mode = Some(Mode::List),
                'f' => match value(letter)? {
                    "-" => {}
                    file => return Err(format!("{file}: this tar reads and writes its standard streams only: f -")),
                },
                'C' => self.directory = inside(&self.directory, value(letter)?),
                'm' => self.touch = true,
                'v' => self.verbose = true,
                'p' => self.keep_permissions = true,
                'o' => {}
                'z' | 'j' | 'J' => return Err("this tar does not compress".to_owned()),
                other => return Err(format!("invalid option -- '{other}'")),
            }
        }
        Ok(())
    }
}

/// `path` as seen from `directory`.
pub(super) fn inside(directory: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", directory.trim_end_matches('/')) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn kubectls_command_lines_are_understood() {
        let create = parse("cf - /data/a").unwrap();
        assert_eq!((create.mode, create.members), (Mode::Create, vec!["/data/a".to_owned()]));
        let extract = parse("-xmf - -C /data").unwrap();
        assert_eq!((extract.mode, extract.directory.as_str(), extract.touch), (Mode::Extract, "/data", true));
        let loose = parse("--no-same-permissions --no-same-owner -xmf - -C data").unwrap();
        assert_eq!((loose.keep_permissions, loose.directory.as_str()), (false, "/data"));
    }

    #[test]
    fn what_is_not_understood_is_refused_in_words() {
        for (line, why) in [
            ("czf - a", "this tar does not compress"),
            ("cf out.tar a", "out.tar: this tar reads and writes its standard streams only: f -"),
            ("-vf -", "You must specify one of the '-ctx' options"),
            ("-xf", "option requires an argument -- 'f'"),
            ("--wildcards", "unrecognized option '--wildcards'"),
        ] {
            assert_eq!(parse(line).unwrap_err(), why);
        }
    }
}
