# A few cmdlets by the names of Hyper-V, with objects of every kind that hosts give: what the dispatcher makes of them on a real engine.
Add-Type 'public enum WarmsiteTestState { Other = 1, Running = 2, Off = 3 }'

function New-Machine([string]$Name) {
    [pscustomobject]@{
        Id = [guid]::NewGuid(); Name = $Name; State = [WarmsiteTestState]::Running; Memory = [int64]9007199254740993; Big = [uint64]::MaxValue
        Uptime = [timespan]::FromSeconds(1.5); Created = [datetime]::new(2026, 1, 2, 3, 4, 5, [DateTimeKind]::Utc); Ratio = 1.5; Nothing = $null
        Order = @([pscustomobject]@{ Path = 'a' }, [pscustomobject]@{ Other = 'b' }); Tags = @{ '$int' = '5' }; Statuses = @([WarmsiteTestState]::Off)
        Odd = [version]'1.2.3.4'
    }
}

function Get-VM {
    [CmdletBinding()] param([guid]$Id)
    if ($PSBoundParameters.ContainsKey('Id') -and $Id -eq [guid]::Empty) { return }
    New-Machine 'one'
    New-Machine 'two'
}

# What comes in goes out again.
function New-VM { [CmdletBinding()] param([string]$Name, [object]$Generation, [string]$Path) [pscustomobject]@{ Name = $Name; Generation = $Generation; Path = $Path } }
function Set-VM { [CmdletBinding()] param([object]$VM, [string]$Notes) [pscustomobject]@{ Notes = $Notes; Name = $VM.Name } }

function Get-VMHardDiskDrive { [CmdletBinding()] param([Parameter(Mandatory = $true)][object[]]$VM) foreach ($one in $VM) { [pscustomobject]@{ VMId = $one.Id } } }

function Get-VHD {
    [CmdletBinding()] param([guid[]]$VMId, [string[]]$Path)
    foreach ($one in $VMId) { Write-Error "no disk of $one" -ErrorId InvalidState -Category InvalidOperation; [pscustomobject]@{ Path = "$one" } }
}

function Start-VM {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')] param([object]$VM)
    if (-not $PSCmdlet.ShouldProcess('it')) { return }
    Write-Warning 'it runs already'
    Write-Host 'noise'
    Write-Verbose 'more' -Verbose
    [pscustomobject]@{ Done = $true }
}

function Stop-VM { [CmdletBinding()] param([object]$VM, [switch]$Force, [switch]$TurnOff) throw [IO.IOException]::new('in use', -2147024864) }
function Remove-VM { [CmdletBinding()] param([object]$VM) Start-Sleep -Seconds 600 }
function Rename-VM { [CmdletBinding()] param([object]$VM, [string]$NewName) [Environment]::Exit(0) }
Export-ModuleMember -Function *-*
