<#
.SYNOPSIS
Installs Warmsite's dispatcher on this host and, with -Group, a JEA endpoint that shows nothing else.
.EXAMPLE
.\Install-WarmsiteEndpoint.ps1 -Group 'CONTOSO\Warmsite'
.EXAMPLE
.\Install-WarmsiteEndpoint.ps1 -Remove
#>
[CmdletBinding(SupportsShouldProcess = $true)]
param(
    # Members may use the endpoint. Without it only the module is installed.
    [string]$Group,
    [string]$ConfigurationName = 'Warmsite',
    [switch]$Remove
)
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'

$target = Join-Path $env:ProgramFiles 'WindowsPowerShell\Modules\Warmsite.Dispatcher'

if ($Remove) {
    if (Get-PSSessionConfiguration -Name $ConfigurationName -ErrorAction SilentlyContinue) {
        if ($PSCmdlet.ShouldProcess($ConfigurationName, 'unregister the endpoint')) { Unregister-PSSessionConfiguration -Name $ConfigurationName -Force }
    }
    if ((Test-Path -LiteralPath $target) -and $PSCmdlet.ShouldProcess($target, 'remove the module')) { Remove-Item -LiteralPath $target -Recurse -Force }
    return
}

if ($PSCmdlet.ShouldProcess($target, 'install the module')) {
    New-Item -ItemType Directory -Path (Join-Path $target 'RoleCapabilities') -Force | Out-Null
    foreach ($file in 'Warmsite.Dispatcher.psm1', 'allowed.json') { Copy-Item -LiteralPath (Join-Path $PSScriptRoot $file) -Destination $target -Force }
    Copy-Item -LiteralPath (Join-Path $PSScriptRoot 'Warmsite.psrc') -Destination (Join-Path $target 'RoleCapabilities') -Force
}
if ([string]::IsNullOrEmpty($Group)) { return }

# The group is data: it goes into the file as a key that PowerShell writes, not as text that it reads.
$settings = Import-PowerShellDataFile -LiteralPath (Join-Path $PSScriptRoot 'Warmsite.pssc')
$file = Join-Path ([IO.Path]::GetTempPath()) ('warmsite-' + [guid]::NewGuid().ToString('N') + '.pssc')
New-PSSessionConfigurationFile -Path $file -SessionType $settings.SessionType -LanguageMode $settings.LanguageMode -RunAsVirtualAccount `
    -RunAsVirtualAccountGroups $settings.RunAsVirtualAccountGroups -TranscriptDirectory $settings.TranscriptDirectory `
    -RoleDefinitions @{ $Group = @{ RoleCapabilities = 'Warmsite' } }
try {
    New-Item -ItemType Directory -Path $settings.TranscriptDirectory -Force | Out-Null
    if (Get-PSSessionConfiguration -Name $ConfigurationName -ErrorAction SilentlyContinue) { Unregister-PSSessionConfiguration -Name $ConfigurationName -Force }
    if ($PSCmdlet.ShouldProcess($ConfigurationName, "register the endpoint for $Group")) { Register-PSSessionConfiguration -Name $ConfigurationName -Path $file -Force | Out-Null }
} finally {
    Remove-Item -LiteralPath $file -Force
}
