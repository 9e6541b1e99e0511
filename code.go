package recount

// Code names one kind of error. Each has a page, docs/errors/<code>.md.
type Code string

// The codes. A code is never reused; its exit code never changes.
const (
	CodeUsage         Code = "RC1001"
	CodeNoConfig      Code = "RC1002"
	CodeConfig        Code = "RC1003"
	CodeTimeZone      Code = "RC1004"
	CodeLocalTime     Code = "RC1005"
	CodeSecret        Code = "RC1006"
	CodeConfirm       Code = "RC1007"
	CodeUnknownName   Code = "RC1008"
	CodeLogicFile     Code = "RC1009"
	CodeUnsupported   Code = "RC1010"
	CodeWindow        Code = "RC1011"
	CodeSourceDown    Code = "RC1012"
	CodeSourceAccess  Code = "RC1013"
	CodeNoTopic       Code = "RC1014"
	CodeSourceData    Code = "RC1015"
	CodeRegistry      Code = "RC1017"
	CodeNoSlot        Code = "RC1020"
	CodeSlotBusy      Code = "RC1021"
	CodeSlotLost      Code = "RC1022"
	CodePlanDamaged   Code = "RC2101"
	CodePlanExpired   Code = "RC2102"
	CodePlanTarget    Code = "RC2103"
	CodeStale         Code = "RC2104"
	CodeLocked        Code = "RC2105"
	CodeSchemaChanged Code = "RC2106"
	CodeLimit         Code = "RC2107"
	CodeAffected      Code = "RC2108"
	CodeReadBack      Code = "RC2109"
	CodeOutcome       Code = "RC2110"
	CodeNoLedger      Code = "RC2111"
	CodeControl       Code = "RC2112"
	CodeNoRun         Code = "RC2113"
	CodeTargetDown    Code = "RC2114"
	CodeReadOnly      Code = "RC2115"
	CodeNoTable       Code = "RC2116"
	CodeLiveKey       Code = "RC2117"
	CodeDoesNotFit    Code = "RC2118"
	CodeTargetFile    Code = "RC2119"
	CodeWorkerState   Code = "RC2120"
	CodeDamaged       Code = "RC3001"
	CodeIncomplete    Code = "RC3002"
	CodeSourceChanged Code = "RC3003"
	CodeSourceFile    Code = "RC3004"
	CodeQuarantine    Code = "RC3005"
	CodeArchiveLocked Code = "RC3006"
	CodeStorage       Code = "RC3007"
	CodeNoArchive     Code = "RC3008"
	CodeNoFiles       Code = "RC3009"
	CodeNewerArchive  Code = "RC3010"
	CodeNoEvent       Code = "RC3011"
	CodeMapping       Code = "RC3012"
	CodeOutOfReach    Code = "RC3013"
	CodeLost          Code = "RC3014"
	CodeNoSnapshot    Code = "RC3018"
	CodeExpire        Code = "RC3019"
	CodeRegister      Code = "RC3020"
	CodeFileOrder     Code = "RC3022"
	CodeSQL           Code = "RC4001"
	CodeSQLRefused    Code = "RC4002"
	CodeNondetermined Code = "RC4003"
	CodeEmptyWindow   Code = "RC4004"
	CodeResultKey     Code = "RC4005"
	CodeUnknownKey    Code = "RC4006"
	CodeMemory        Code = "RC4007"
	CodeEngine        Code = "RC4008"
	CodeNoColumn      Code = "RC4010"
	CodeNotKeyed      Code = "RC4011"
	CodeRows          Code = "RC4012"
	CodeOwnBus        Code = "RC4013"
	CodeSandbox       Code = "RC4020"
	CodeWorker        Code = "RC4021"
	CodePoison        Code = "RC4022"
	CodeWorkerAnswer  Code = "RC4023"
	CodeLookup        Code = "RC4024"
	CodeUpcast        Code = "RC4025"
	CodeVersion       Code = "RC4026"
	CodeShadow        Code = "RC4027"
	CodeFold          Code = "RC4030"
	CodeTypes         Code = "RC4034"
	CodeTwoWay        Code = "RC5001"
	CodeNoRow         Code = "RC5002"
	CodeDoctor        Code = "RC5003"
	CodeDifferences   Code = "RC5004"
	CodeNoCut         Code = "RC5005"
	CodeNoSuchIDs     Code = "RC5006"
	CodeNotAdditive   Code = "RC5007"
	CodeLists         Code = "RC5008"
	CodeSeveral       Code = "RC5009"
	CodeInternal      Code = "RC9000"
	CodeInterrupted   Code = "RC9130"
)

// Exit codes: what a script sees. An unknown one means failure.
const (
	ExitDone        = 0
	ExitError       = 1
	ExitDifferences = 2
	ExitPart        = 3
	ExitStale       = 10
	ExitLocked      = 11
	ExitTampered    = 12
	ExitIncomplete  = 13
	ExitNondetermin = 14
	ExitLimit       = 15
	ExitRefused     = 16
	ExitUnknown     = 17
	ExitUsage       = 64
	ExitInterrupted = 130
)

// CodeInfo is what the table of codes says of one.
type CodeInfo struct {
	Code  Code
	Exit  int
	Title string
}

// Codes lists every code with its exit code, in order.
var Codes = []CodeInfo{
	{CodeUsage, ExitUsage, "the command line is wrong"},
	{CodeNoConfig, ExitUsage, "there is no recount.yaml here"},
	{CodeConfig, ExitUsage, "recount.yaml has a mistake"},
	{CodeTimeZone, ExitUsage, "a time has no zone"},
	{CodeLocalTime, ExitUsage, "a local time does not exist, or stands twice"},
	{CodeSecret, ExitUsage, "a secret's reference leads nowhere"},
	{CodeConfirm, ExitUsage, "the write was not confirmed"},
	{CodeUnknownName, ExitUsage, "no calculation or source has that name"},
	{CodeLogicFile, ExitUsage, "the logic's file cannot be read"},
	{CodeUnsupported, ExitUsage, "this is not supported"},
	{CodeWindow, ExitUsage, "the window is no window"},
	{CodeSourceDown, ExitError, "the source cannot be reached"},
	{CodeSourceAccess, ExitUsage, "the source refused the connection"},
	{CodeNoTopic, ExitUsage, "the topic does not exist"},
	{CodeSourceData, ExitError, "the source's own data is damaged"},
	{CodeRegistry, ExitError, "the schema registry does not answer as it should"},
	{CodeNoSlot, ExitUsage, "the database is not set up for reading changes"},
	{CodeSlotBusy, ExitLocked, "another process reads the replication slot"},
	{CodeSlotLost, ExitIncomplete, "the replication slot cannot be read on"},
	{CodePlanDamaged, ExitTampered, "the plan file was cut or edited"},
	{CodePlanExpired, ExitTampered, "the plan has expired"},
	{CodePlanTarget, ExitTampered, "the plan is for another target"},
	{CodeStale, ExitStale, "the plan is stale"},
	{CodeLocked, ExitLocked, "another run holds the target"},
	{CodeSchemaChanged, ExitStale, "the table's schema changed since the plan"},
	{CodeLimit, ExitLimit, "the plan changes more rows than its limit"},
	{CodeAffected, ExitStale, "the database changed another number of rows than planned"},
	{CodeReadBack, ExitRefused, "a row did not read back as planned"},
	{CodeOutcome, ExitUnknown, "the outcome of the write is unknown"},
	{CodeNoLedger, ExitRefused, "the ledger tables are missing"},
	{CodeControl, ExitRefused, "the control window is red"},
	{CodeNoRun, ExitError, "no such run can be rolled back"},
	{CodeTargetDown, ExitError, "the target cannot be reached"},
	{CodeReadOnly, ExitRefused, "the role may not write"},
	{CodeNoTable, ExitUsage, "the table or column does not exist"},
	{CodeLiveKey, ExitRefused, "the live table has a key twice or NULL"},
	{CodeDoesNotFit, ExitRefused, "a right value does not fit its column"},
	{CodeTargetFile, ExitError, "the target's file cannot be read"},
	{CodeWorkerState, ExitRefused, "the worker would overwrite the correction"},
	{CodeDamaged, ExitIncomplete, "the archive is damaged"},
	{CodeIncomplete, ExitIncomplete, "the archive does not hold the whole window"},
	{CodeSourceChanged, ExitError, "a source file was changed"},
	{CodeSourceFile, ExitError, "a source file cannot be read"},
	{CodeQuarantine, ExitLimit, "too many events had to be quarantined"},
	{CodeArchiveLocked, ExitLocked, "another process writes this archive"},
	{CodeStorage, ExitError, "the disk or store refused"},
	{CodeNoArchive, ExitIncomplete, "nothing is archived for this source"},
	{CodeNoFiles, ExitUsage, "no file matches"},
	{CodeNewerArchive, ExitError, "a newer version wrote this"},
	{CodeNoEvent, ExitError, "the archive has no such event"},
	{CodeMapping, ExitUsage, "the archive was made under another mapping"},
	{CodeOutOfReach, ExitError, "a source or store cannot be reached"},
	{CodeLost, ExitIncomplete, "the source deleted events before they were archived"},
	{CodeNoSnapshot, ExitUsage, "the archive has no such snapshot"},
	{CodeExpire, ExitUsage, "events cannot be expired so"},
	{CodeRegister, ExitError, "the archive cannot be registered as an Iceberg table"},
	{CodeFileOrder, ExitError, "a sink's file does not follow the one before it"},
	{CodeSQL, ExitUsage, "the SQL has a mistake"},
	{CodeSQLRefused, ExitRefused, "the SQL is not deterministic by its form"},
	{CodeNondetermined, ExitNondetermin, "the calculation is not deterministic"},
	{CodeEmptyWindow, ExitRefused, "the window holds no used event"},
	{CodeResultKey, ExitRefused, "the result has a key twice or NULL"},
	{CodeUnknownKey, ExitRefused, "it is unknown which rows a quarantined event touches"},
	{CodeMemory, ExitLimit, "the memory limit was exceeded"},
	{CodeEngine, ExitError, "the engine stopped"},
	{CodeNoColumn, ExitUsage, "the result lacks a column"},
	{CodeNotKeyed, ExitRefused, "the rows cannot be followed event by event"},
	{CodeRows, ExitRefused, "rows that something else made cannot be used"},
	{CodeOwnBus, ExitRefused, "a source reads the destination itself"},
	{CodeSandbox, ExitRefused, "the worker cannot be isolated here"},
	{CodeWorker, ExitError, "the worker stopped or does not answer"},
	{CodePoison, ExitLimit, "too many events end the worker"},
	{CodeWorkerAnswer, ExitRefused, "the worker's answer cannot be used"},
	{CodeLookup, ExitRefused, "reference data says nothing about an event's time"},
	{CodeUpcast, ExitRefused, "an old event cannot be brought to its new shape"},
	{CodeVersion, ExitRefused, "no single version of the logic was in force"},
	{CodeShadow, ExitError, "the shadow worker did not catch up"},
	{CodeFold, ExitUsage, "the fold does not fit its source"},
	{CodeTypes, ExitRefused, "events are of types that the logic does not know"},
	{CodeTwoWay, ExitRefused, "most rows are wrong and nothing says why"},
	{CodeNoRow, ExitError, "the plan has no such row"},
	{CodeDoctor, ExitRefused, "doctor found what must be mended first"},
	{CodeDifferences, ExitRefused, "a window known to be good has differences"},
	{CodeNoCut, ExitRefused, "it is not known how far the live rows have absorbed events"},
	{CodeNoSuchIDs, ExitRefused, "listed ids are no events of the archive"},
	{CodeNotAdditive, ExitRefused, "the results are not additive"},
	{CodeLists, ExitRefused, "lists of events contradict each other"},
	{CodeSeveral, ExitUsage, "the calculations do not fit one plan"},
	{CodeInternal, ExitError, "something unexpected went wrong"},
	{CodeInterrupted, ExitInterrupted, "interrupted"},
}

// Info returns the code's row in the table.
func (c Code) Info() (CodeInfo, bool) {
	for _, info := range Codes {
		if info.Code == c {
			return info, true
		}
	}
	return CodeInfo{}, false
}

// Exit returns the code's exit code; 1 for a code that is not in the table.
func (c Code) Exit() int {
	if info, ok := c.Info(); ok {
		return info.Exit
	}
	return ExitError
}
