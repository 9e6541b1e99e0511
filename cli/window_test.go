package cli_test

import (
	"reflect"
	"strings"
	"testing"

	"recount"
	"recount/internal/app"
)

func TestFlagsOfAWindowThatDoNotGoTogetherOpenNothing(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{with("plan", "c", "--by", "injest"), "the nearest is ingest"},
		{with("plan", "c", "--by", "tide"), "--by tide is not known"},
		{[]string{"plan", "c", "--by", "ingest"}, "recount plan needs --from and --to"},
		{[]string{"plan", "c", "--by", "position"}, "--by position needs --from-position and --to-position"},
		{[]string{"plan", "c", "--by", "ids"}, "--by ids needs --ids"},
		{with("plan", "c", "--by", "ids", "--ids", "f"), "times and --ids do not go together"},
		{with("plan", "c", "--from-position", "3:1", "--to-position", "3:5"), "times and positions do not go together"},
		{[]string{"plan", "c", "--by", "event", "--from-position", "3:1"}, "--by event and positions do not go together"},
		{[]string{"plan", "c", "--by", "ingest", "--ids", "f"}, "--by ingest and --ids do not go together"},
		{[]string{"plan", "c", "--ids", "f", "--from-position", "3:1"}, "positions and --ids do not go together"},
		{[]string{"plan", "c", "--from-position", "3:1"}, "partition 3 lacks --to-position"},
		{[]string{"plan", "c", "--to-position", "3:1"}, "partition 3 lacks --from-position"},
		{[]string{"diff", "c", "--from-position", "3:9", "--to-position", "3:9"}, "the positions are no window"},
		{[]string{"verify", "c", "--from-position", "3:1", "--from-position", "3:2", "--to-position", "3:9"}, "partition 3 has two edges of one kind"},
		{[]string{"replay", "c", "--from-position", "3", "--to-position", "3:9"}, "a position cannot be read"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			s := scene{}
			got := s.run(t, c.args...)
			text := strings.Join(strings.Fields(got.errOut), " ")
			if got.exit != recount.ExitUsage || !strings.Contains(text, c.want) {
				t.Errorf("got exit %d, stderr:\n%s\nwant 64 and %q", got.exit, got.errOut, c.want)
			}
			for _, part := range []string{"where:", "why:", "next:"} {
				if !strings.Contains(text, part) {
					t.Errorf("stderr lacks %s\n%s", part, got.errOut)
				}
			}
			if len(s.fake.asked) > 0 {
				t.Errorf("the project was asked: %v", s.fake.asked)
			}
		})
	}
}

func TestAWindowOfPositionsReachesTheProject(t *testing.T) {
	s := scene{}
	s.run(t, "diff", "c", "--from-position", "0:5", "--to-position", "0:9", "--from-position", "1:7", "--to-position", "1:8", "--paused", "p.txt")
	want := app.PlanRequest{Calculation: "c", Window: app.WindowRequest{FromPositions: []string{"0:5", "1:7"}, ToPositions: []string{"0:9", "1:8"}, Paused: "p.txt"}}
	if len(s.fake.asked) != 1 || !reflect.DeepEqual(s.fake.asked[0], any(want)) {
		t.Errorf("diff: got %+v, want %+v", s.fake.asked, want)
	}
}
