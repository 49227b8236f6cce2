# Runs allow-listed cmdlets and brings back named properties. What they mean is decided elsewhere: no logic belongs here.
# Windows PowerShell 5.1 and PowerShell 7. Request and reply are one line of base64 each, UTF-8 JSON: there is nothing to quote.
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$script:allowed = Get-Content -LiteralPath (Join-Path $PSScriptRoot 'allowed.json') -Raw -Encoding UTF8 | ConvertFrom-Json
$script:commands = @{}
$script:remote = $null
$invariant = [Globalization.CultureInfo]::InvariantCulture

function New-Refusal([string]$Id, [string]$Message) {
    New-Object Management.Automation.ErrorRecord (New-Object InvalidOperationException $Message), $Id, 'PermissionDenied', $null
}

# ---- values ---------------------------------------------------------------------------------------------------------

# JSON has no 64-bit integers, enumerations, dates or spans of time: they come as an object that says what they are.
function ConvertTo-DrValue($Value, [int]$Depth = 0) {
    if ($null -eq $Value) { return $null }
    if ($Value -is [psobject]) { $Value = $Value.PSObject.BaseObject }
    if ($Depth -gt 8) { return [string]$Value }
    if ($Value -is [enum]) { return @{ '$enum' = [string]$Value; value = $Value.ToString('D') } }
    if ($Value -is [string] -or $Value -is [bool] -or $Value -is [int] -or $Value -is [uint16] -or $Value -is [int16] -or $Value -is [byte] -or $Value -is [sbyte] -or $Value -is [double] -or $Value -is [single]) { return $Value }
    if ($Value -is [int64] -or $Value -is [uint64] -or $Value -is [uint32] -or $Value -is [decimal]) { return @{ '$int' = $Value.ToString($invariant) } }
    if ($Value -is [char]) { return [string]$Value }
    if ($Value -is [datetime]) { return @{ '$date' = $Value.ToUniversalTime().ToString('o', $invariant) } }
    if ($Value -is [timespan]) { return @{ '$ms' = [math]::Round($Value.TotalMilliseconds) } }
    if ($Value -is [Collections.IDictionary]) {
        $map = [ordered]@{}
        foreach ($key in $Value.Keys) { $map[[string]$key] = ConvertTo-DrValue $Value[$key] ($Depth + 1) }
        return @{ '$map' = $map }
    }
    if ($Value -is [Collections.IEnumerable]) {
        $list = New-Object Collections.ArrayList
        foreach ($item in $Value) { [void]$list.Add((ConvertTo-DrValue $item ($Depth + 1))) }
        return , $list.ToArray()
    }
    return [string]$Value
}

# One property of an object, or of each of a list.
function Get-DrMember($Value, [string]$Name, [bool]$Optional) {
    if ($null -eq $Value) { return $null }
    if ($Value -is [Collections.IEnumerable] -and $Value -isnot [string] -and $Value -isnot [Collections.IDictionary]) {
        $list = New-Object Collections.ArrayList
        foreach ($item in $Value) { [void]$list.Add((Get-DrMember $item $Name $Optional)) }
        return , $list.ToArray()
    }
    $property = $Value.PSObject.Properties[$Name]
    if ($null -ne $property) { return , $property.Value }
    if ($Optional) { return $null }
    throw (New-Refusal 'Warmsite.NoProperty' "$($Value.PSObject.TypeNames[0]) has no property $Name")
}

function Select-DrProperty($Object, $Paths) {
    $row = [ordered]@{}
    foreach ($path in $Paths) {
        $name = $path.TrimEnd('?')
        $value = $Object
        foreach ($part in $name.Split('.')) { $value = Get-DrMember $value $part $path.EndsWith('?') }
        $row[$name] = ConvertTo-DrValue $value
    }
    return $row
}

$script:types = @{ uint8 = [byte]; uint16 = [uint16]; uint32 = [uint32]; uint64 = [uint64]; int64 = [int64]; guid = [guid] }

function Get-DrReferenced($Reference, $Objects) {
    $found = @($Objects[$Reference.'$step'])
    $where = $Reference.PSObject.Properties['$where']
    if ($null -ne $where) { $found = @($found | Where-Object { [string]$_.($where.Value.property) -eq $where.Value.is }) }
    if ($found.Count -eq 0) { throw (New-Refusal 'Warmsite.NothingFound' "step $($Reference.'$step') has found nothing") }
    $property = $Reference.PSObject.Properties['$property']
    if ($null -ne $property) { $found = @(foreach ($one in $found) { $one.($property.Value) }) }
    if ($found.Count -eq 1) { return $found[0] }
    return , $found
}

function ConvertFrom-DrArgument($Value, $Objects) {
    if ($Value -is [Array]) {
        $list = New-Object Collections.ArrayList
        foreach ($item in $Value) { [void]$list.Add((ConvertFrom-DrArgument $item $Objects)) }
        return , $list.ToArray()
    }
    # An object of JSON has this type; a number of the parser must not be taken for one.
    if ($Value -isnot [Management.Automation.PSCustomObject]) { return $Value }
    if ($null -ne $Value.PSObject.Properties['$step']) { return Get-DrReferenced $Value $Objects }
    $type = $Value.PSObject.Properties['$type']
    if ($null -ne $type) {
        if ($type.Value -eq 'date') { return [datetime]::Parse($Value.value, $invariant, [Globalization.DateTimeStyles]::RoundtripKind) }
        if ($type.Value -eq 'milliseconds') { return [timespan]::FromMilliseconds($Value.value) }
        return $Value.value -as $script:types[$type.Value]
    }
    $map = @{}
    foreach ($property in $Value.PSObject.Properties) { $map[$property.Name] = ConvertFrom-DrArgument $property.Value $Objects }
    return $map
}

# ---- what is allowed ------------------------------------------------------------------------------------------------

function Assert-DrParameter([string]$Cmdlet, [string]$Name, $Value) {
    $rule = $script:allowed.cmdlets.$Cmdlet
    if (@($rule.parameters) -cnotcontains $Name) { throw (New-Refusal 'Warmsite.NotAllowed' "$Cmdlet -$Name is not on the list") }
    $pattern = $rule.patterns.PSObject.Properties[$Name]
    if ($null -eq $pattern) { return }
    foreach ($one in @($Value)) {
        if ([string]$one -cnotmatch $pattern.Value) { throw (New-Refusal 'Warmsite.NotAllowed' "this value of $Cmdlet -$Name is not on the list") }
    }
}

function Assert-DrClass($Splat) {
    foreach ($name in 'ClassName', 'Association', 'ResultClassName') {
        if ($Splat.ContainsKey($name) -and $null -eq $script:allowed.classes.PSObject.Properties[$Splat[$name]]) {
            throw (New-Refusal 'Warmsite.NotAllowed' "the class $($Splat[$name]) is not on the list")
        }
    }
    if (-not $Splat.ContainsKey('MethodName')) { return }
    $class = $Splat['InputObject'].CimClass.CimClassName
    if (@($script:allowed.classes.PSObject.Properties | Where-Object { $_.Name -ceq $class } | ForEach-Object { $_.Value }) -cnotcontains $Splat['MethodName']) {
        throw (New-Refusal 'Warmsite.NotAllowed' "the method $($Splat['MethodName']) of $class is not on the list")
    }
}

function Get-DrCommand([string]$Name) {
    if ($script:commands.ContainsKey($Name)) { return $script:commands[$Name] }
    $rule = $script:allowed.cmdlets.PSObject.Properties[$Name]
    if ($null -eq $rule) { throw (New-Refusal 'Warmsite.NotAllowed' "$Name is not on the list") }
    # Named with its module: others have a Get-VM, too.
    $command = Get-Command -Name "$($rule.Value.module)\$Name" -CommandType Cmdlet, Function
    $script:commands[$Name] = $command
    return $command
}

# ---- running --------------------------------------------------------------------------------------------------------

function ConvertTo-DrError($Record, [int]$Step) {
    $inner = $Record.Exception
    while ($null -ne $inner.InnerException) { $inner = $inner.InnerException }
    return [ordered]@{
        step = $Step
        category = [string]$Record.CategoryInfo.Category
        fqid = [string]$Record.FullyQualifiedErrorId
        message = [string]$Record.Exception.Message
        type = $Record.Exception.GetType().FullName
        hresult = $Record.Exception.HResult
        innerHresult = $inner.HResult
        target = [string]$Record.CategoryInfo.TargetName
    }
}

function Invoke-DrStep($Step, [int]$Index, $Objects) {
    $command = Get-DrCommand $Step.cmdlet
    $splat = @{}
    # About the objects of a step that found none there is nothing to do.
    foreach ($parameter in $Step.params.PSObject.Properties) {
        if ($parameter.Value -is [Management.Automation.PSCustomObject] -and $null -ne $parameter.Value.PSObject.Properties['$step'] -and $Objects[$parameter.Value.'$step'].Count -eq 0) {
            [void]$Objects.Add(@())
            return [ordered]@{ rows = @(); count = 0; warnings = @(); errors = @() }
        }
    }
    foreach ($parameter in $Step.params.PSObject.Properties) {
        $value = ConvertFrom-DrArgument $parameter.Value $Objects
        Assert-DrParameter $Step.cmdlet $parameter.Name $value
        $splat[$parameter.Name] = $value
    }
    Assert-DrClass $splat
    if ($command.Parameters.ContainsKey('Confirm')) { $splat['Confirm'] = $false }
    $collect = $null -ne $Step.PSObject.Properties['collect']
    $warnings = @()
    $failures = @()
    $action = if ($collect) { 'SilentlyContinue' } else { 'Stop' }
    $found = @(& $command @splat -ErrorAction $action -ErrorVariable failures -WarningAction SilentlyContinue -WarningVariable warnings)
    $rows = New-Object Collections.ArrayList
    if ($null -ne $Step.PSObject.Properties['select']) { foreach ($object in $found) { [void]$rows.Add((Select-DrProperty $object $Step.select)) } }
    [void]$Objects.Add($found)
    $errors = @(if ($collect) { foreach ($failure in $failures) { if ($failure -is [Management.Automation.ErrorRecord]) { ConvertTo-DrError $failure $Index } } })
    return [ordered]@{ rows = $rows.ToArray(); count = $found.Count; warnings = @($warnings | ForEach-Object { [string]$_ }); errors = $errors }
}

function ConvertFrom-DrText([string]$Text) { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($Text)) | ConvertFrom-Json }

# The rest of a reply's line: the request's number, then base64 of UTF-8 JSON.
function Format-DrReply($Id, $Reply) {
    $json = ConvertTo-Json -InputObject $Reply -Depth 20 -Compress
    return "$Id " + [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($json))
}

<# Takes a request and gives the reply's line. The one function that a JEA endpoint shows. #>
function Get-DrReply {
    [CmdletBinding()] param([Parameter(Mandatory = $true)][ValidatePattern('^[A-Za-z0-9+/=]+$')][string]$Request)
    $asked = ConvertFrom-DrText $Request
    $reply = [ordered]@{ ok = $true; steps = (New-Object Collections.ArrayList) }
    $objects = New-Object Collections.ArrayList
    $index = -1
    try {
        foreach ($step in @($asked.steps)) {
            $index++
            [void]$reply.steps.Add((Invoke-DrStep $step $index $objects))
        }
    } catch {
        $reply.ok = $false
        $reply.error = ConvertTo-DrError $_ $index
    }
    return Format-DrReply $asked.id $reply
}

<# Opens a session to another host; from then on requests run there. The account comes from the environment: a line on the way in may be logged. #>
function Connect-DrHost {
    [CmdletBinding()] param([Parameter(Mandatory = $true)][ValidatePattern('^[A-Za-z0-9+/=]+$')][string]$Request)
    $asked = ConvertFrom-DrText $Request
    $splat = @{ ComputerName = $asked.computerName; UseSSL = $true; ErrorAction = 'Stop' }
    if ($null -ne $asked.PSObject.Properties['configurationName']) { $splat['ConfigurationName'] = $asked.configurationName }
    if ($null -ne $asked.PSObject.Properties['certificateThumbprint']) { $splat['CertificateThumbprint'] = $asked.certificateThumbprint }
    if (-not [string]::IsNullOrEmpty($env:WARMSITE_PS_USERNAME)) {
        $password = New-Object Security.SecureString
        foreach ($character in ([string]$env:WARMSITE_PS_PASSWORD).ToCharArray()) { $password.AppendChar($character) }
        $splat['Credential'] = New-Object Management.Automation.PSCredential $env:WARMSITE_PS_USERNAME, $password
    }
    $reply = [ordered]@{ ok = $true; steps = @() }
    try {
        $script:remote = New-PSSession @splat
    } catch {
        $reply.ok = $false
        $reply.error = ConvertTo-DrError $_ -1
    } finally {
        Remove-Item -Path Env:WARMSITE_PS_USERNAME, Env:WARMSITE_PS_PASSWORD -ErrorAction SilentlyContinue
    }
    [Console]::Out.WriteLine('DRX1 ' + (Format-DrReply $asked.id $reply))
}

function Get-DrRemoteReply([string]$Request) {
    # As a command, not as a script: an endpoint without a language takes nothing else.
    $shell = [powershell]::Create()
    try {
        $shell.Runspace = $script:remote.Runspace
        $reply = $shell.AddCommand('Get-DrReply').AddParameter('Request', $Request).Invoke()
        if ($reply.Count -eq 1) { return [string]$reply[0] }
        $failure = if ($shell.Streams.Error.Count -gt 0) { $shell.Streams.Error[0] } else { New-Refusal 'Warmsite.NoReply' 'the host gave no reply' }
    } catch {
        $failure = $_
    } finally {
        $shell.Dispose()
    }
    return Format-DrReply (ConvertFrom-DrText $Request).id @{ ok = $false; error = (ConvertTo-DrError $failure -1) }
}

function Invoke-DrRequest {
    [CmdletBinding()] param([Parameter(Mandatory = $true)][ValidatePattern('^[A-Za-z0-9+/=]+$')][string]$Request)
    $reply = if ($null -eq $script:remote) { Get-DrReply $Request } else { Get-DrRemoteReply $Request }
    [Console]::Out.WriteLine("DRX1 $reply")
}

Export-ModuleMember -Function Invoke-DrRequest, Get-DrReply, Connect-DrHost
