package doctest

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Doc is a page: its text, cut at its console blocks.
type Doc struct {
	Blocks []Block
	rest   [][]string // the lines between blocks: one entry more than Blocks
}

// Block is one console block.
type Block struct {
	Line     int // of its fence, counted from 1
	Dir      string
	Skip     string
	Needs    string // a program without which it is not run
	Commands []Command
	fence    string
	end      string
}

// Command is one command of a block with its expected output.
type Command struct {
	Line   int
	Text   string // as sh is given it
	Output []string
	source []string // the lines of the page
}

var directive = regexp.MustCompile(`^<!--\s*doctest:\s*(dir|skip|needs)=(.*?)\s*-->$`)

// Parse cuts a page into its console blocks.
func Parse(text string) (*Doc, error) {
	doc := &Doc{}
	lines := strings.Split(text, "\n")
	var between []string
	var dir, skip, needs string
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		trimmed := strings.TrimSpace(line)
		if m := directive.FindStringSubmatch(trimmed); m != nil {
			switch m[1] {
			case "dir":
				if !localPath(m[2]) {
					return nil, fmt.Errorf("line %d: dir=%s leads out of the tree", i+1, m[2])
				}
				dir = m[2]
			case "skip":
				skip = m[2]
			case "needs":
				needs = m[2]
			}
		} else if strings.Contains(trimmed, "<!-- doctest:") {
			return nil, fmt.Errorf("line %d: unknown directive %s", i+1, trimmed)
		}
		if !strings.HasPrefix(trimmed, "```") {
			between = append(between, line)
			continue
		}
		end := closing(lines, i)
		if end < 0 {
			return nil, fmt.Errorf("line %d: the block is not closed", i+1)
		}
		if strings.TrimPrefix(trimmed, "```") != "console" {
			between = append(between, lines[i:end+1]...)
			i = end
			continue
		}
		block := Block{Line: i + 1, Dir: dir, Skip: skip, Needs: needs, fence: line, end: lines[end]}
		var err error
		if block.Commands, err = commands(lines[i+1:end], i+2); err != nil {
			return nil, err
		}
		dir, skip, needs = "", "", ""
		doc.Blocks = append(doc.Blocks, block)
		doc.rest = append(doc.rest, between)
		between = nil
		i = end
	}
	doc.rest = append(doc.rest, between)
	return doc, nil
}

func closing(lines []string, open int) int {
	for i := open + 1; i < len(lines); i++ {
		if strings.TrimSpace(lines[i]) == "```" {
			return i
		}
	}
	return -1
}

func localPath(p string) bool {
	return p != "" && !path.IsAbs(p) && path.Clean(p) == p && p != ".." && !strings.HasPrefix(p, "../")
}

func commands(lines []string, first int) ([]Command, error) {
	var list []Command
	for i := 0; i < len(lines); i++ {
		text, isCommand := strings.CutPrefix(lines[i], "$ ")
		if !isCommand {
			if len(list) == 0 {
				return nil, fmt.Errorf("line %d: output before the first command; commands begin with \"$ \"", first+i)
			}
			last := &list[len(list)-1]
			last.Output = append(last.Output, lines[i])
			continue
		}
		c := Command{Line: first + i, source: []string{lines[i]}}
		for strings.HasSuffix(lines[i], `\`) && i+1 < len(lines) {
			i++
			text += "\n" + lines[i]
			c.source = append(c.source, lines[i])
		}
		c.Text = text
		list = append(list, c)
	}
	for i := range list {
		list[i].Output = splitLines(strings.Join(list[i].Output, "\n"))
	}
	return list, nil
}

// String returns the page; unchanged, it is the text that was parsed, up to
// empty lines between commands.
func (d *Doc) String() string {
	var parts []string
	for i, rest := range d.rest {
		parts = append(parts, rest...)
		if i == len(d.Blocks) {
			break
		}
		b := d.Blocks[i]
		parts = append(parts, b.fence)
		for _, c := range b.Commands {
			parts = append(parts, c.source...)
			parts = append(parts, c.Output...)
		}
		parts = append(parts, b.end)
	}
	return strings.Join(parts, "\n")
}
